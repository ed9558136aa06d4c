"""The values handed from room to room: content-addressed, sealed, in canonical JSON.

A manifest names an artifact by the digest of what it *is* (its files, its table's rows, its content), beside what it
was *made from* (the recipe: inputs, code, configuration and software, each by digest) and *how* (run, actor, time).
Two makings of equal bytes have the same digest; only the last part differs.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlops_platform.errors import CorruptArtifactError

SCHEMA_VERSION = 1
_BLOCK = 1 << 20


def canonical_json(value: Any) -> bytes:
    """One spelling for equal values: sorted keys, no spaces, UTF-8, no NaN (RFC 8785 in spirit)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_bytes(data: bytes) -> str:
    """``sha256:`` and the hexadecimal SHA-256 of the bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_of(value: Any) -> str:
    """Digest of a JSON value by its canonical spelling."""
    return digest_bytes(canonical_json(value))


def digest_file(path: Path) -> str:
    """Digest of a file's bytes, read in blocks."""
    with path.open("rb") as file:
        hasher = hashlib.sha256()
        while block := file.read(_BLOCK):
            hasher.update(block)
    return "sha256:" + hasher.hexdigest()


def short(digest: str) -> str:
    """The twelve hexadecimal digits by which people tell digests apart."""
    return digest.removeprefix("sha256:")[:12]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides an artifact's bytes.

    Attributes:
        station: Asset key of the station, joined by slashes.
        functions: References of the functions that do the work.
        code: Digest of their source closure.
        config: The part of the declaration that the station reads.
        software: Versions of the distributions that the closure imports, and of device and threads where they count.
        inputs: Digest of each input by its role.
    """

    station: str
    functions: tuple[str, ...]
    code: str
    config: Mapping[str, Any]
    software: Mapping[str, str]
    inputs: Mapping[str, str]

    @property
    def key(self) -> str:
        """Digest of the whole recipe: equal keys need no second making."""
        return digest_of(asdict(self))


@dataclass(frozen=True, kw_only=True)
class TableRef:
    """A Delta table at one version.

    Attributes:
        path: Folder of the table, relative to the environment's root.
        version: The Delta version whose rows these are.
        partitions: Digest of the rows of each partition.
    """

    path: str
    version: int
    partitions: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Merkle root over the partitions' rows; compaction does not change it."""
        return digest_of({"partitions": dict(self.partitions)})


@dataclass(frozen=True, kw_only=True)
class Produced:
    """How this making happened; no part of the digest.

    Attributes:
        at: When, ISO 8601 in UTC.
        seconds: Wall time of the work.
        run_id: Dagster run, which is also the correlation id unless one was given.
        correlation_id: Ties log lines, tags and manifests of one cause together.
        actor: Person, sensor or CLI that asked.
        git_revision: Commit of the working tree, with ``-dirty`` where it differs; None outside a repository.
        measured: Figures that vary between makings, such as seconds per epoch.
    """

    at: str
    seconds: float
    run_id: str
    correlation_id: str
    actor: str
    git_revision: str | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The sealed description of one artifact.

    Attributes:
        kind: ``raw``, ``features``, ``dataset``, ``checkpoint``, ...
        station: Asset key that made it, joined by slashes.
        environment: ``dev``, ``staging`` or ``prod``.
        digest: Of kind, files, table and content; checked whenever a manifest is read.
        files: Digest of each file, by path relative to the artifact's folder.
        table: The Delta table that the artifact stands for, if it is one.
        content: Facts decided by the recipe alone: counts, metrics, names.
        recipe: What it was made from.
        produced: How it was made.
    """

    kind: str
    station: str
    environment: str
    files: Mapping[str, str]
    table: TableRef | None
    content: Mapping[str, Any]
    recipe: Recipe
    produced: Produced
    schema_version: int = SCHEMA_VERSION

    @property
    def digest(self) -> str:
        """The artifact's name: what it is, not how it came to be."""
        table = self.table.digest if self.table else None
        return digest_of(
            {"kind": self.kind, "files": dict(self.files), "table": table, "content": dict(self.content)},
        )

    @property
    def delta(self) -> TableRef:
        """The Delta table of a raw table's or feature table's manifest.

        Raises:
            CorruptArtifactError: The artifact is no table.
        """
        if self.table is None:
            raise CorruptArtifactError(
                required=f"a table behind {self.station}",
                found=f"a {self.kind} of files",
                remedy="materialize the station again",
            )
        return self.table

    def to_json(self) -> bytes:
        """The sealed bytes: the fields and the digest over them."""
        return canonical_json({**asdict(self), "digest": self.digest})

    @classmethod
    def from_json(cls, data: bytes, *, source: str) -> "Manifest":
        """Reads sealed bytes back.

        Args:
            data: What ``to_json`` gave.
            source: Where they were read, for the error.

        Raises:
            CorruptArtifactError: Truncated, of another schema version, or not of the digest they carry.
        """
        remedy = f"remove {source}; the next run makes the artifact again"
        try:
            raw = json.loads(data)
            sealed, version = raw.pop("digest"), raw["schema_version"]
            if version != SCHEMA_VERSION:
                raise CorruptArtifactError(
                    required=f"manifest schema version {SCHEMA_VERSION}", found=f"{version} in {source}",
                    remedy="use the platform version that wrote it, or rebuild",
                )  # fmt: skip
            table = TableRef(**raw.pop("table")) if raw["table"] else raw.pop("table")
            recipe = raw.pop("recipe")
            # The first manifests of this schema version did not name them, and what they describe is still served.
            recipe["functions"] = tuple(recipe.get("functions", ()))
            manifest = cls(table=table, recipe=Recipe(**recipe), produced=Produced(**raw.pop("produced")), **raw)
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptArtifactError(
                required="a whole manifest", found=f"{source}: {error}", remedy=remedy
            ) from error
        if manifest.digest != sealed:
            raise CorruptArtifactError(
                required=f"content of digest {sealed}", found=f"{manifest.digest} in {source}", remedy=remedy
            )
        return manifest
