"""Opening Feast's FileSource with polars: a Parquet file, a folder of Parquet, a Delta table at one version."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from feast.data_format import DeltaFormat, ParquetFormat
from feast.data_source import DataSource
from feast.infra.offline_stores.file_source import FileSource
from feast.repo_config import RepoConfig

from mlops_platform.point_in_time.errors import PointInTimeError
from mlops_platform.point_in_time.feast_files import Place, is_remote
from mlops_platform.point_in_time.times import as_utc
from mlops_platform.point_in_time.view_frame import require_columns, schema_of


class _InWriteOrder(DeltaTable):
    """A Delta table that lists its files oldest first.

    The log lists the newest first, so reading it as it stands would let the *older* of two otherwise equal rows win.
    polars pairs the files with the statistics of the add actions by position: both are put in the same order.
    """

    def _order(self) -> list[int]:
        actions = pl.DataFrame(super().get_add_actions(flatten=False)).select("modification_time").with_row_index("i")
        return actions.sort(["modification_time", "i"], descending=[False, True])["i"].to_list()

    def file_uris(self, *args: Any, **kwargs: Any) -> list[str]:
        """Return the files as DeltaTable does, oldest first."""
        found = super().file_uris(*args, **kwargs)
        return [found[index] for index in self._order()]

    def get_add_actions(self, *args: Any, **kwargs: Any) -> Any:
        """Return the add actions as DeltaTable does, oldest first, as a polars frame."""
        return pl.DataFrame(super().get_add_actions(*args, **kwargs))[self._order()]


@dataclass(frozen=True, kw_only=True)
class OpenedTable:
    """A table as one job reads it.

    Attributes:
        path: The path as written in the FileSource.
        location: Where that is: an absolute path or a URI.
        format: "parquet" or "delta".
        version: The Delta version read; None for Parquet, which has none.
        frame: Its rows, in file order.
        unchanged: Says whether these are still the rows that were opened, as `ViewFrame.unchanged` does; None for
            paths with a `*`.
    """

    path: str
    location: str
    format: str
    version: int | None
    frame: pl.LazyFrame = field(repr=False, compare=False)
    unchanged: Callable[[], bool] | None = field(default=None, repr=False, compare=False)


class TableReader:
    """Opens the tables of one job, each at one version however many views read it."""

    def __init__(self, repo_path: Path | str | None, table_versions: Mapping[str, int]) -> None:
        """Read below `repo_path`; `table_versions` maps a Delta table's path, as its source has it, to a version."""
        self._repo_path = repo_path
        self._versions = table_versions
        self._opened: dict[tuple[str, str, str], OpenedTable] = {}

    def open(self, source: DataSource | None, *, where: str) -> OpenedTable:
        """Open a source; nothing but metadata is read.

        Args:
            source: A FileSource with a Parquet or Delta format (none means Parquet).
            where: Who asks, for errors.

        Raises:
            PointInTimeError: Another kind of source or format, no such table or version, a pin on Parquet.
        """
        if not isinstance(source, FileSource):
            raise PointInTimeError(
                f"{where}: its batch source is {type(source).__name__}; PolarsOfflineStore reads FileSource "
                f"(Parquet files and folders, Delta tables). Use a FileSource or another offline store."
            )
        kind = _format_of(source, where=where)
        key = (kind, source.path, str(storage_options(source)))
        if key not in self._opened:
            self._opened[key] = self._open(source, kind, where)
        return self._opened[key]

    def _open(self, source: FileSource, kind: str, where: str) -> OpenedTable:
        location = location_of(source.path, self._repo_path)
        pin = self._versions.get(source.path)
        options = storage_options(source)
        unchanged: Callable[[], bool] | None = None
        if kind == "delta":
            table = _delta_table(location, pin, options, where)
            frame = pl.scan_delta(table, storage_options=options)
            version: int | None = table.version()
            unchanged = _always  # a version is never written anew
        elif pin is not None:
            raise PointInTimeError(
                f"{where}: table_versions pins {source.path!r} to version {pin}, but it is Parquet, which keeps no "
                f"versions. Remove the pin, or store it as Delta and say file_format=DeltaFormat()."
            )
        else:
            # Looked at before it is opened: what is written in between is seen as a change.
            unchanged = None if "*" in location else _unchanged(Place(location, options))
            frame, version = _scan_parquet(location, options, where), None
        schema_of(frame, where=f"{where}, {location}")
        return OpenedTable(
            path=source.path, location=location, format=kind, version=version, frame=frame, unchanged=unchanged
        )


def location_of(path: str, repo_path: Path | str | None) -> str:
    """Return the absolute path or URI of a source's path, relative ones below the repository as Feast has it."""
    if path.startswith("file://"):
        return unquote(urlparse(path).path)
    return path if is_remote(path) else FileSource.get_uri_for_file_path(repo_path, path)


def open_source(config: RepoConfig, source: DataSource) -> tuple[OpenedTable, str]:
    """Open one source as the store is configured; return the table and how errors name it.

    Raises:
        PointInTimeError: As `TableReader.open`.
    """
    where = f"source {source.name!r}"
    return TableReader(config.repo_path, config.offline_store.table_versions).open(source, where=where), where


def check_times(table: OpenedTable, where: str, source: DataSource) -> None:
    """Check that a table has the time columns that its source names.

    Raises:
        PointInTimeError: A column is missing, or holds no times.
    """
    schema = schema_of(table.frame, where=where)
    stored = {mapped: column for column, mapped in (source.field_mapping or {}).items()}
    named = [name for name in (source.timestamp_field, source.created_timestamp_column) if name]
    columns = [stored.get(name, name) for name in named]
    require_columns(columns, schema, where=where, remedy="Correct the source, or store the column.")
    for column in columns:
        as_utc(column, schema[column], where=where)


def storage_options(source: FileSource) -> dict[str, str] | None:
    """Return polars' and deltalake's storage options for a source on an object store, or None."""
    options = {name.lower(): value for name, value in (source.resolve_credentials() or {}).items()}
    endpoint = source.s3_endpoint_override
    if endpoint:
        options |= {"aws_endpoint_url": endpoint, "aws_allow_http": str(endpoint.startswith("http://")).lower()}
    return options or None


def _format_of(source: FileSource, *, where: str) -> str:
    if source.file_format is None or isinstance(source.file_format, ParquetFormat):
        return "parquet"
    if isinstance(source.file_format, DeltaFormat):
        return "delta"
    raise PointInTimeError(
        f"{where}: the format of {source.path!r} is {type(source.file_format).__name__}; "
        f"PolarsOfflineStore reads ParquetFormat and DeltaFormat."
    )


def _delta_table(location: str, pin: int | None, options: dict[str, str] | None, where: str) -> DeltaTable:
    try:
        return _InWriteOrder(location, version=pin, storage_options=options)
    except (DeltaError, OSError) as found:
        wanted = "" if pin is None else f" at version {pin}"
        raise PointInTimeError(
            f"{where}: no Delta table{wanted} at {location}: {found}. Write the table first, correct the source's "
            f"path, or pin a version that exists."
        ) from found


def _always() -> bool:
    return True


def _unchanged(place: Place) -> Callable[[], bool]:
    opened = place.fingerprint()
    return lambda: place.fingerprint() == opened


def _scan_parquet(location: str, options: dict[str, str] | None, where: str) -> pl.LazyFrame:
    place = Place(location, options)
    if not place.remote and not place.exists():
        raise PointInTimeError(f"{where}: no file or folder {location}. Write it first, or correct the source's path.")
    if "*" in location:
        return pl.scan_parquet(location, storage_options=options)
    if not place.is_folder():
        return pl.scan_parquet(location, glob=False, storage_options=options)
    if Place(f"{place.location}/_delta_log", options).exists():
        # Its files, all taken together, hold rows that were deleted or replaced.
        raise PointInTimeError(
            f"{where}: {location} is a Delta table, but its source says Parquet. Say file_format=DeltaFormat()."
        )
    files = place.parquet_files()
    if not files:
        raise PointInTimeError(f"{where}: the folder {location} holds no .parquet file. Write it first.")
    # By their names: a folder may be called what would be a pattern.
    named = [f"{place.location}/{name}" for name in files]
    return pl.scan_parquet(named, glob=False, hive_partitioning=True, storage_options=options)
