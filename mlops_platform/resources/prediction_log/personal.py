"""Personal data and the prediction log: values of columns declared ``personal`` never reach a journal or the log.

Entity keys and the example's id are replaced by a keyed hash (HMAC-SHA-256), so that answers about one person are still
found together and still meet their label; every other personal column is left out. Whoever destroys the key makes all
hashes ever written by it meaningless, at one stroke, for everybody: docs/adr/0007.
"""

import hmac
import os
import secrets
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from mlops_platform.errors import PlatformError
from mlops_platform.resources.home import Home
from mlops_platform.spec import Model, Project

KEY = "MLOPS_PERSONAL_KEY"
"""Variable with the key; without it the key is a file of the home, made when it is first needed."""
_SHORTEST = 32
_DIGITS = 32


@dataclass(frozen=True, kw_only=True)
class PersonalColumns:
    """What of a model's answers is personal.

    Attributes:
        hashed: Entity keys, and the example's id where it is or may hold one.
        left_out: Context and carried columns, and features by full name.
    """

    hashed: frozenset[str]
    left_out: frozenset[str]

    @property
    def every(self) -> frozenset[str]:
        """All of them."""
        return self.hashed | self.left_out


def personal_columns(project: Project, model: Model) -> PersonalColumns:
    """The personal columns of a model's examples and features, as declared.

    A column of the examples is personal where a raw table that they, or the features, come from says so of a column of
    that name, or the model of its context. Projects build an example's id from the key of its raw table: so it counts
    as personal where any part of that key is.
    """
    examples = model.examples
    tables = [project.raw_table(name) for name in (examples.source, examples.upcoming_source)]
    sources = [project.raw_table(project.feature_table(name).source) for name in project.feature_columns(model)]
    named = {column.name for table in (*tables, *sources) for column in table.columns if column.personal}
    named |= {column.name for column in model.context if column.personal}
    names_someone = any(part in named for table in tables for part in table.key)
    hashed = (set(project.entity_keys(model)) & named) | ({examples.id} if names_someone else {examples.id} & named)
    read = project.feature_columns(model).items()
    features = {f"{table}__{column.name}" for table, group in read for column in group if column.personal}
    return PersonalColumns(hashed=frozenset(hashed), left_out=frozenset((named - hashed) | features))


@dataclass(frozen=True)
class Personal:
    """Takes personal data out of what is logged of one model.

    Attributes:
        home, project, model: Whose.
    """

    home: Home
    project: Project
    model: Model

    @cached_property
    def columns(self) -> PersonalColumns:
        """What is hashed and what is left out."""
        return personal_columns(self.project, self.model)

    def example_ids(self, ids: pl.Series) -> pl.Series:
        """Ids of examples as the log has them: themselves, or their hashes."""
        name = self.model.examples.id
        return self._hashes(name, ids) if name in self.columns.hashed else ids

    def logged(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Columns of examples or features as the log has them: some hashed, some gone."""
        hashed, left_out = self.columns.hashed, self.columns.left_out
        if self.columns.every.isdisjoint(frame.columns):
            return frame
        kept = (column for column in frame.get_columns() if column.name not in left_out)
        return pl.DataFrame([self._hashes(each.name, each) if each.name in hashed else each for each in kept])

    def _hashes(self, column: str, values: pl.Series) -> pl.Series:
        key, start = self._key, f"{self.project.name}\n{column}\n"
        hashes = [
            None if value is None else "h-" + hmac.digest(key, f"{start}{value}".encode(), "sha256").hex()[:_DIGITS]
            for value in values.to_list()
        ]
        return pl.Series(values.name, hashes, dtype=pl.String)

    @cached_property
    def _key(self) -> bytes:
        return personal_key(self.home)


def key_file(home: Home) -> Path:
    """Where the home keeps its key, if the environment has none."""
    return home.root / "secrets" / "personal.key"


def personal_key(home: Home) -> bytes:
    """The key of the hashes: of the environment, or else of the home, which makes one when it has none.

    Raises:
        PlatformError: The key is too short to be one.
    """
    if text := os.environ.get(KEY):
        return _long_enough(text, KEY)
    path = key_file(home)
    if not path.is_file():
        _make(path)
    return _long_enough(path.read_text(), str(path))


def _make(path: Path) -> None:
    """Writes a new key that only this account reads, unless another process is first."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{uuid.uuid4().hex}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, secrets.token_hex(32).encode())
        os.fsync(handle)
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        os.close(handle)
        draft.unlink()


def _long_enough(text: str, where: str) -> bytes:
    if len(text.strip()) < _SHORTEST:
        raise PlatformError(
            required=f"a key of {_SHORTEST} characters or more in {where}", found=f"{len(text.strip())} characters",
            remedy='make one: python -c "import secrets; print(secrets.token_hex(32))"',
        )  # fmt: skip
    return text.strip().encode()
