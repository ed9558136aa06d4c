"""Putting a result where Feast wants it: a saved dataset, or Parquet files for an engine that runs elsewhere."""

import uuid
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake
from feast.data_format import DeltaFormat, ParquetFormat
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import FileSource, SavedDatasetFileStorage
from feast.saved_dataset import SavedDatasetStorage

from mlops_platform.point_in_time.errors import PointInTimeError
from mlops_platform.point_in_time.feast_files import Place
from mlops_platform.point_in_time.feast_sources import location_of, storage_options

# What one worker of a materialization reads at once.
_BYTES_A_FILE = 128 * 1024**2


def persist(
    storage: SavedDatasetStorage,
    result: Callable[[], Iterable[pa.Table]],
    *,
    repo_path: Path | str | None,
    allow_overwrite: bool,
) -> None:
    """Write a result to a Parquet file, a folder with one, or a Delta table, on this machine or an object store.

    Args:
        storage: SavedDatasetFileStorage; a relative path lies below the repository; `.parquet` means one file, else
            a folder is made.
        result: Gives the result in parts, at least one; called once the place is found to be free.
        repo_path: The repository.
        allow_overwrite: Whether what is there may be replaced. A file and a Delta table are replaced in one step; a
            folder is missing for a moment.

    Raises:
        SavedDatasetLocationAlreadyExists: Something is there and may not be replaced.
        PointInTimeError: Another kind of storage, format or store.
    """
    if not isinstance(storage, SavedDatasetFileStorage):
        raise PointInTimeError(f"persist: required is SavedDatasetFileStorage; found {type(storage).__name__}.")
    source = storage.to_data_source()
    assert isinstance(source, FileSource)
    kind = source.file_format
    if kind is not None and not isinstance(kind, ParquetFormat | DeltaFormat):
        raise PointInTimeError(f"persist: no format {type(kind).__name__}; use Parquet or Delta.")
    options = storage_options(source)
    place = Place(location_of(source.path, repo_path), options)
    if place.exists() and not allow_overwrite:
        raise SavedDatasetLocationAlreadyExists(location=place.location)
    if isinstance(kind, DeltaFormat):
        write_deltalake(
            place.location, _batches(result()), mode="overwrite", schema_mode="overwrite", storage_options=options
        )
    else:
        place.replace(result())


def _batches(parts: Iterable[pa.Table]) -> pa.RecordBatchReader:
    every = iter(parts)
    first = next(every)
    return pa.RecordBatchReader.from_batches(
        first.schema, (batch for part in chain([first], every) for batch in part.to_batches())
    )


def export(parts: Iterable[pa.Table], staging: FileSource, repo_path: Path | str | None) -> list[str]:
    """Write a result as Parquet files of about 128 MiB in memory each, into a new folder of the staging location.

    Returns:
        Their paths or URIs, in the order of the rows; none if there are no rows.
    """
    place = Place(f"{location_of(staging.path, repo_path)}/{uuid.uuid4()}", storage_options(staging))
    names: list[str] = []
    for part in parts:
        rows = max(1, part.num_rows * _BYTES_A_FILE // max(part.nbytes, 1))
        for start in range(0, part.num_rows, rows):
            names.append(f"part-{len(names):05d}.parquet")
            place.write({names[-1]: part.slice(start, rows)})
    return [f"{place.location}/{name}" for name in names]
