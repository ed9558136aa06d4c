"""The door to Delta Lake: tables whose every commit carries the digests of the partitions it left.

A partition's digest covers the logical content of its rows, whatever their order, file layout or compression.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl

from mlops_platform.errors import PlatformError
from mlops_platform.manifest import TableRef
from mlops_platform.resources.artifacts import sync
from mlops_platform.resources.home import Home

PARTITION = "_partition"
LINEAGE = ("_file", "_row")
_DIGESTS = "mlops.partitions"
POLARS_TYPES: Mapping[str, pl.DataType] = {
    "int8": pl.Int8(), "int64": pl.Int64(), "float32": pl.Float32(), "float64": pl.Float64(), "string": pl.String(),
    "bool": pl.Boolean(), "timestamp": pl.Datetime("us", "UTC"),
}  # fmt: skip
"""The polars type of each declared dtype."""
_KEPT = {"delta.logRetentionDuration": "interval 3650 days", "delta.deletedFileRetentionDuration": "interval 3650 days"}


def content_digest(frame: pl.DataFrame) -> str:
    """Digest of a frame's rows as a set, the columns of lineage and partition left out.

    Each column gives its name, type, null mask and values; rows are sorted by all columns first.
    """
    kept = frame.select(sorted(set(frame.columns) - {PARTITION, *LINEAGE}))
    kept = kept.sort(kept.columns, nulls_last=True, maintain_order=True)
    hasher = hashlib.sha256()
    for series in kept.iter_columns():
        hasher.update(f"{series.name}:{series.dtype}:{len(series)};".encode())
        hasher.update(series.is_null().to_numpy().tobytes())
        if series.dtype == pl.String:
            filled = series.fill_null("")
            hasher.update(filled.str.len_bytes().to_numpy().tobytes())
            hasher.update("".join(filled.to_list()).encode())
        else:
            physical = series.to_physical()
            zero = False if physical.dtype == pl.Boolean else 0
            hasher.update(physical.fill_null(zero).to_numpy().tobytes())
    return "sha256:" + hasher.hexdigest()


@dataclass(frozen=True)
class DeltaDoor:
    """One Delta table, read and written with its digests.

    Attributes:
        path: Its folder.
    """

    path: Path

    @property
    def exists(self) -> bool:
        """Whether the table has a first commit."""
        return (self.path / "_delta_log").is_dir() and any((self.path / "_delta_log").glob("*.json"))

    @property
    def version(self) -> int:
        """The newest committed version."""
        return self._open().version()

    def scan(self, version: int | None = None) -> pl.LazyFrame:
        """Rows at a version (the newest without one), lazily."""
        return pl.scan_delta(str(self.path), version=version)

    def has_transaction(self, application: str) -> bool:
        """Whether a commit with this application id has happened."""
        return bool(self.transactions([application]))

    def transactions(self, applications: Iterable[str]) -> dict[str, int]:
        """The newest transaction of each of these application ids that has one."""
        table = self._open() if self.exists else None
        found = {name: table.transaction_version(name) for name in applications} if table is not None else {}
        return {name: number for name, number in found.items() if number is not None}

    def commits(self) -> list[dict[str, Any]]:
        """The commits with their metadata, newest first."""
        return self._open().history() if self.exists else []

    def metadata(self, name: str) -> list[Any]:
        """Values of one custom metadata entry over all commits, oldest first."""
        return [json.loads(commit[name]) for commit in reversed(self.commits()) if name in commit]

    def append(
        self,
        frame: pl.DataFrame,
        *,
        transactions: Sequence[str] | Mapping[str, int] = (),
        metadata: Mapping[str, Any] | None = None,
        digests: Mapping[str, str] | None = None,
        may_widen: bool = False,
    ) -> int:
        """Appends rows, partitioned by ``PARTITION``, in one atomic commit.

        Args:
            frame: The rows, ``PARTITION`` among their columns; none at all is a commit too.
            transactions: Application ids that the commit marks as done, or with the number of the newest one done.
            metadata: Values written beside them, as JSON.
            digests: Digest of every partition of the table after this commit.
            may_widen: Whether columns that the table does not have are added to it, null in its older rows.

        Returns:
            The version that the commit made.

        Raises:
            PlatformError: The columns of the table are others; nothing is written.
        """
        there = dict(self.scan().collect_schema()) if self.exists else dict(frame.schema)
        known = {name: dtype for name, dtype in frame.schema.items() if name in there or not may_widen}
        if known != there:
            raise PlatformError(
                required=f"rows with the columns of {self.path}: {there}",
                found=str(dict(frame.schema)),
                remedy="an append-only table keeps its columns: declare a new table, or start a new home",
            )
        return self._write(frame, "append", transactions, {**(metadata or {}), _DIGESTS: dict(digests or {})},
                           merge=len(frame.schema) > len(there))  # fmt: skip

    def replace(self, frame: pl.DataFrame, partitions: Sequence[str], *, metadata: Mapping[str, Any],
                digests: Mapping[str, str]) -> int:  # fmt: skip
        """Replaces the named partitions by the rows given, in one atomic commit, and returns its version."""
        changed = self.exists and dict(self.scan().collect_schema()) != dict(frame.schema)
        if changed and not set(self.digests()) <= set(partitions):
            raise PlatformError(
                required=f"every partition of {self.path} to be written when its columns change",
                found=f"only {', '.join(partitions)}",
                remedy="compute the whole table again",
            )
        names = ", ".join(f"'{name}'" for name in partitions)
        predicate = f"{PARTITION} IN ({names})" if self.exists and not changed else None
        return self._write(
            frame, "overwrite", (), {**metadata, _DIGESTS: dict(digests)}, predicate, new_columns=changed
        )

    def files(self) -> pl.DataFrame:
        """The data files of the newest version: ``path`` within the table, ``bytes``, ``rows`` and ``PARTITION``."""
        return pl.DataFrame(self._open().get_add_actions(flatten=True)).select(
            "path", pl.col("size_bytes").alias("bytes"), pl.col("num_records").alias("rows"),
            pl.col(f"partition.{PARTITION}").alias(PARTITION),
        )  # fmt: skip

    def compact(self, partition: str, *, size: int) -> None:
        """Makes files of a partition that are smaller than ``size`` bytes into larger ones; no row changes."""
        from deltalake import WriterProperties

        zstd = WriterProperties(compression="ZSTD", compression_level=3)
        self._open().optimize.compact([(PARTITION, "=", partition)], target_size=size, writer_properties=zstd)
        self.sync()

    def sync(self) -> None:
        """Forces the newest commit, and the data files that it added, to the disk."""
        log = self.path / "_delta_log"
        commit = log / f"{self.version:020d}.json"
        actions = [json.loads(line) for line in commit.read_text().splitlines()]
        added = [self.path / unquote(action["add"]["path"]) for action in actions if "add" in action]
        checkpoint = [*log.glob(f"{self.version:020d}.checkpoint*"), *log.glob("_last_checkpoint")]
        for path in (*added, *{path.parent for path in added}, commit, *checkpoint, log, self.path):
            sync(path)

    def digests(self) -> dict[str, str]:
        """Digest of each partition, as the newest commit that wrote any says."""
        for commit in self.commits():
            if _DIGESTS in commit:
                return json.loads(commit[_DIGESTS])
        return {}

    def ref(self, home: Home) -> TableRef:
        """The table as it is now, as manifests name it."""
        return TableRef(path=home.relative(self.path), version=self.version, partitions=self.digests())

    def unneeded(self, versions: Sequence[int]) -> list[Path]:
        """Data files that none of these versions nor the newest one reads; nothing is deleted.

        Raises:
            PlatformError: The table does not have one of these versions any more.
        """
        return [self.path / unquote(name) for name in self._vacuum(versions, dry_run=True)]

    def vacuum(self, versions: Sequence[int]) -> None:
        """Deletes what ``unneeded`` lists; to be called only while nobody writes the table."""
        self._vacuum(versions, dry_run=False)

    def _vacuum(self, versions: Sequence[int], *, dry_run: bool) -> list[str]:
        from deltalake.exceptions import DeltaError

        try:
            # No hours of grace: they would guess at who may still write or read, which the caller knows.
            return self._open().vacuum(retention_hours=0, dry_run=dry_run, enforce_retention_duration=False, full=True,
                                       keep_versions=list(versions))  # fmt: skip
        except DeltaError as error:
            lost = ", ".join(str(version) for version in versions if not self._has(version))
            if not lost:
                raise
            raise PlatformError(
                required=f"every version of table {self.path} that an artifact cites, to keep its rows",
                found=f"no version {lost}; the newest is {self.version}",
                remedy="restore the table's folder from a backup; if it is lost for good, remove the artifacts whose "
                "manifest.json cites these versions. Until then nothing is removed",
            ) from error

    def _has(self, version: int) -> bool:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        try:
            DeltaTable(str(self.path), version=version)
        except DeltaError:
            return False
        return True

    def _open(self) -> Any:
        from deltalake import DeltaTable

        return DeltaTable(str(self.path))

    def _write(self, frame: pl.DataFrame, mode: str, transactions: Sequence[str] | Mapping[str, int],
               metadata: Mapping[str, Any], predicate: str | None = None, *, new_columns: bool = False,
               merge: bool = False) -> int:  # fmt: skip
        from deltalake import CommitProperties, Transaction, write_deltalake

        marked = dict.fromkeys(transactions, 1) if isinstance(transactions, Sequence) else dict(transactions)

        self.path.mkdir(parents=True, exist_ok=True)
        properties = CommitProperties(
            custom_metadata={name: json.dumps(value, sort_keys=True) for name, value in metadata.items()},
            app_transactions=[Transaction(name, number) for name, number in marked.items()],
        )
        write_deltalake(str(self.path), frame, mode=mode, partition_by=[PARTITION], predicate=predicate,
                        schema_mode="overwrite" if new_columns else "merge" if merge else None,
                        configuration=None if self.exists else _KEPT, commit_properties=properties)  # fmt: skip
        return self.version


def month_of(column: str) -> pl.Expr:
    """The UTC month of a timestamp column, as partitions are named: ``2013-06``."""
    return pl.col(column).dt.strftime("%Y-%m")


def month_bounds(month: str) -> tuple[pl.Expr, pl.Expr]:
    """First instant of a month and of the next one, as UTC expressions."""
    start = pl.lit(f"{month}-01").str.to_datetime("%Y-%m-%d", time_unit="us", time_zone="UTC")
    return start, start.dt.offset_by("1mo")
