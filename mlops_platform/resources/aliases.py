"""The door to the registry's aliases: which version an alias points to, and of which checkpoint that is.

MLflow is not imported where its store is the home's SQLite, so that a poll costs next to nothing.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from mlops_platform.errors import StoreError
from mlops_platform.resources.home import Home

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHECKPOINT_TAG = "mlops.checkpoint"
CHALLENGER, CHAMPION = "challenger", "champion"
_WORKSPACES = "MLFLOW_ENABLE_WORKSPACES"
_ALIAS = {"workspace", "name", "alias", "version"}
_VERSION = {"workspace", "name", "version", "current_stage"}
_TAG = {"workspace", "name", "version", "key", "value"}
# As MLflow's own store asks: a version that was deleted keeps its row.
_POINTED = f"""
SELECT v.version, t.value FROM registered_model_aliases a
JOIN model_versions v ON v.workspace = a.workspace AND v.name = a.name AND v.version = a.version
LEFT JOIN model_version_tags t
ON t.workspace = v.workspace AND t.name = v.name AND t.version = v.version AND t.key = '{CHECKPOINT_TAG}'
WHERE a.workspace = 'default' AND a.name = ? AND a.alias = ? AND v.current_stage != 'Deleted_Internal'
"""


@dataclass(frozen=True, kw_only=True)
class Pointed:
    """What an alias points to.

    Attributes:
        version: In the registry.
        checkpoint: Digest that the version's tag names; None where it has no such tag, so is none of ours.
    """

    version: str
    checkpoint: str | None


class Registry(Protocol):
    """A registry as it is read here: of one home, by MLflow's client where need be."""

    @property
    def home(self) -> Home: ...

    @property
    def uri(self) -> str: ...

    @property
    def exists(self) -> bool: ...

    @property
    def client(self) -> "MlflowClient": ...


@dataclass(frozen=True)
class ReadRegistry:
    """The registry for those who only read it.

    Attributes:
        home: Where the store lives by default.
        project: Name of the project.
        uri: Of a tracking server; empty for SQLite in the home.
    """

    home: Home
    project: str
    uri: str = ""

    @classmethod
    def from_environment(cls, home: Home, project: str) -> "ReadRegistry":
        """That of ``MLFLOW_TRACKING_URI``, by default the home's."""
        return cls(home, project, os.environ.get("MLFLOW_TRACKING_URI", ""))

    @property
    def exists(self) -> bool:
        """Whether the store has been made; a server counts as there."""
        return bool(self.uri) or (self.home.mlflow / "mlflow.db").is_file()

    @cached_property
    def client(self) -> "MlflowClient":
        """MLflow's own client; importing it takes seconds."""
        from mlops_platform.resources.mlflow import MlflowDoor

        return MlflowDoor(self.home, self.project, self.uri).client


def registered_name(project: str, model: str) -> str:
    """A model's name in the registry."""
    return f"{project}.{model}"


def alias_version(door: Registry, name: str, alias: str) -> str | None:
    """The version that an alias points to, if it points; MLflow is not imported where its store is the home's SQLite.

    Args:
        door: MLflow.
        name: Registered name.
        alias: Any but ``latest``, which MLflow computes.

    Raises:
        StoreError: The registry does not answer.
    """
    found = pointed(door, name, alias)
    return found.version if found else None


def pointed(door: Registry, name: str, alias: str) -> Pointed | None:
    """What an alias points to, if it points; see ``alias_version``."""
    if door.uri or os.environ.get(_WORKSPACES):
        return _asked_of_mlflow(door, name, alias)
    if not door.exists:
        return None
    with _answering(door), contextlib.closing(_opened(door)) as database:
        tables = {"registered_model_aliases": _ALIAS, "model_versions": _VERSION, "model_version_tags": _TAG}
        there = {table: _columns(database, table) for table in tables}
        if not all(there.values()):
            # Another process is making the registry now; MLflow, asked beside it, would make the same tables.
            return None
        if all(there[table] >= columns for table, columns in tables.items()):
            found = database.execute(_POINTED, (name, alias)).fetchone()
            return Pointed(version=str(found[0]), checkpoint=found[1]) if found else None
    # Tables of another MLflow, which it brings up to date when it is asked.
    return _asked_of_mlflow(door, name, alias)


def _opened(door: Registry) -> sqlite3.Connection:
    # A file that was deleted a moment ago is not made again.
    return sqlite3.connect(f"{(door.home.mlflow / 'mlflow.db').absolute().as_uri()}?mode=rw", uri=True, timeout=20)


def _columns(database: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in database.execute(f"PRAGMA table_info({table})")}


@contextlib.contextmanager
def _answering(door: Registry) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(
            required=f"the registry in {door.home.mlflow} to answer", found=f"{type(error).__name__}: {error}",
            remedy="see that its file can be read and that nobody holds it locked",
        ) from error  # fmt: skip


def _asked_of_mlflow(door: Registry, name: str, alias: str) -> Pointed | None:
    from mlflow.exceptions import MlflowException

    try:
        found = door.client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise StoreError(
            required="the registry to answer", found=str(error).splitlines()[0],
            remedy="see that the tracking server runs and that MLFLOW_TRACKING_URI names it",
        ) from error  # fmt: skip
    return Pointed(version=str(found.version), checkpoint=found.tags.get(CHECKPOINT_TAG))
