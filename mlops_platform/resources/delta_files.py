"""The files of one version of a Delta table with their statistics: a few rows are read without listing or scanning it.

What a version holds never changes, so its list of files is kept in memory; a table made anew at the same place is told
by its commit's file.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl

from mlops_platform.errors import CorruptArtifactError, MissingArtifactError, PlatformError
from mlops_platform.resources.delta import PARTITION, POLARS_TYPES

# Delta's statistics of times are cut to milliseconds.
_CUT = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_seen: dict[str, tuple[int, tuple[int, ...]]] = {}
Bounds = Mapping[str, tuple[Any, Any]]
"""Lowest and highest value of columns, both inclusive; None where there is no bound."""


@dataclass(frozen=True)
class TableFiles:
    """One version of a table.

    Attributes:
        version: Its Delta version.
        schema: Columns with their types, as the newest commit of the version declares them.
        files: One row a file: ``path`` (whole), ``num_records``, ``min.COLUMN``, ``max.COLUMN``, ``null_count.COLUMN``.
    """

    version: int
    schema: pl.Schema
    files: pl.DataFrame

    @classmethod
    def at(cls, path: Path, version: int | None = None) -> "TableFiles":
        """The table at a version, the newest without one.

        Args:
            path: Its folder.
            version: Delta version.

        Raises:
            MissingArtifactError: The table is not there.
        """
        if not (path / "_delta_log").is_dir():
            raise MissingArtifactError(required=f"the table {path}", found="no such folder with a Delta log",
                                       remedy="restore it from a backup, or materialize its station")  # fmt: skip
        if version is None:
            version = _newest(path)
        return _opened(str(path), version, _commit(path, version))

    def holding(self, bounds: Bounds) -> pl.DataFrame:
        """The files which, by their statistics, may hold a row within the bounds."""
        kept: list[pl.Expr] = []
        for column, (low, high) in bounds.items():
            lowest, highest = f"min.{column}", f"max.{column}"
            if lowest not in self.files.columns or highest not in self.files.columns:
                continue
            if low is not None:
                kept.append((pl.col(highest) >= literal(_wider(low, -1))).fill_null(value=True))
            if high is not None:
                kept.append((pl.col(lowest) <= literal(_wider(high, 1))).fill_null(value=True))
        return self.files.filter(pl.all_horizontal(kept)) if kept else self.files

    def scan(self, bounds: Bounds, files: pl.DataFrame | None = None) -> pl.LazyFrame:
        """Rows within the bounds, lazily, with all columns; those that an older file does not have are null.

        Args:
            bounds: Of the rows.
            files: Some of ``files``; by default those that may hold such rows.
        """
        paths = (self.holding(bounds) if files is None else files)["path"].to_list()
        if not paths:
            return pl.LazyFrame(schema=self.schema)
        stored = {name: dtype for name, dtype in self.schema.items() if name != PARTITION}
        rows = pl.scan_parquet(
            paths, schema=stored, hive_partitioning=True, hive_schema={PARTITION: pl.String()},
            try_parse_hive_dates=False, missing_columns="insert", extra_columns="ignore", glob=False,
        )  # fmt: skip
        return (rows.filter(within(bounds)) if bounds else rows).select(list(self.schema))


def collected(plans: Sequence[pl.LazyFrame], tables: Sequence[TableFiles]) -> list[pl.DataFrame]:
    """What plans over tables give, read together.

    Args:
        plans: Made from ``TableFiles.scan``.
        tables: All tables that they read.

    Raises:
        MissingArtifactError: A file of a table is gone.
        CorruptArtifactError: One was cut off, or holds no rows of the table.
    """
    try:
        return pl.collect_all(plans, engine="in-memory")
    except (OSError, pl.exceptions.ComputeError) as error:
        raise _unreadable(tables, error) from error


def _unreadable(tables: Sequence[TableFiles], error: Exception) -> PlatformError:
    """The file at fault, as far as Delta's log tells: one that is gone, or has another size."""
    remedy = "restore it from a backup"
    for table in tables:
        for path, size in table.files.select("path", "size_bytes").iter_rows():
            required = f"the file {path} of version {table.version} of its table, {size:,} bytes"
            if not Path(path).is_file():
                return MissingArtifactError(required=required, found="no such file", remedy=remedy)
            if (now := Path(path).stat().st_size) != size:
                return CorruptArtifactError(required=required, found=f"{now:,} bytes", remedy=remedy)
    folders = sorted({str(Path(path).parent) for table in tables for path in table.files["path"]})
    return CorruptArtifactError(
        required=f"Parquet files that can be read in {', '.join(folders[:3])}", found=str(error), remedy=remedy
    )


def within(bounds: Bounds) -> pl.Expr:
    """Whether a row is within bounds; there is one at least."""
    kept = []
    for column, (low, high) in bounds.items():
        if low is not None and low == high:
            kept.append(pl.col(column) == literal(low))
            continue
        kept += [pl.col(column) >= literal(low)] if low is not None else []
        kept += [pl.col(column) <= literal(high)] if high is not None else []
    return pl.all_horizontal(kept)


def literal(value: Any) -> pl.Expr:
    """A value as an expression; one that is compared with a table's column.

    Polars takes 30 times as long to make one of a time with a zone.
    """
    if isinstance(value, datetime):
        return pl.lit((value - _EPOCH) // timedelta(microseconds=1)).cast(POLARS_TYPES["timestamp"])
    return pl.lit(value)


def _wider(value: Any, sign: int) -> Any:
    return value + sign * _CUT if isinstance(value, datetime) else value


def _newest(path: Path) -> int:
    """The newest version; one that was seen before is only asked for its successors."""
    from deltalake import DeltaTable

    version, identity = _seen.get(str(path), (-1, ()))
    if version < 0 or _commit(path, version) != identity:
        version = DeltaTable(str(path)).version()
    while (_log(path, version + 1)).is_file():
        version += 1
    _seen[str(path)] = (version, _commit(path, version))
    return version


def _log(path: Path, version: int) -> Path:
    return path / "_delta_log" / f"{version:020d}.json"


def _commit(path: Path, version: int) -> tuple[int, ...]:
    """What tells the commit from one of equal number of a table made anew; without its file, the folder as it is."""
    file = _log(path, version)
    found = os.stat(file if file.is_file() else file.parent)
    return found.st_ino, found.st_mtime_ns, found.st_size


@lru_cache(maxsize=256)
def _opened(path: str, version: int, commit: tuple[int, ...]) -> TableFiles:
    from deltalake import DeltaTable

    table = DeltaTable(path, version=version)
    files = pl.DataFrame(table.get_add_actions(flatten=True))
    whole = [str(Path(path) / unquote(name)) for name in files["path"]]
    schema = pl.Schema(table.schema().to_arrow())
    return TableFiles(version, schema, files.with_columns(path=pl.Series(whole, dtype=pl.String)))
