"""The log of served features, where Feast keeps it: a folder of Parquet files."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.infra.offline_stores.file_source import FileLoggingDestination, FileSource

from mlops_platform.point_in_time.errors import PointInTimeError
from mlops_platform.point_in_time.feast_files import Place, new_file_name
from mlops_platform.point_in_time.feast_sources import location_of, storage_options
from mlops_platform.point_in_time.feast_writes import split_by_partition


def write_log(
    data: pa.Table | Path, source: LoggingSource, logging_config: LoggingConfig, repo_path: Path | str | None
) -> None:
    """Add logged features to the folder of a FileLoggingDestination, as a new file, or one in each partition (hive).

    Args:
        data: The rows, or a folder of Parquet files (or one file) with them.
        source: What was logged; its time column must be there.
        logging_config: The destination, local or on an object store; a relative path lies below the repository.
        repo_path: The repository.

    Raises:
        PointInTimeError: Another kind of destination, one that is a file or a Delta table, a column that is not there.
    """
    destination = logging_config.destination
    if not isinstance(destination, FileLoggingDestination):
        raise PointInTimeError(
            f"logged features: required is a FileLoggingDestination; found {type(destination).__name__}. Configure one "
            f"in the feature service."
        )
    rows = pq.read_table(data) if isinstance(data, Path) else data
    keys = list(destination.partition_by or [])
    for column in [source.get_log_timestamp_column(), *keys]:
        if column not in rows.column_names:
            raise PointInTimeError(
                f"logged features: no column {column!r}; found {', '.join(rows.column_names)}. Log it, or correct "
                f"partition_by of the destination."
            )
    place = _folder(destination, repo_path)
    if rows.num_rows:
        place.write(split_by_partition(rows, keys) if keys else {new_file_name(): rows})


def _folder(destination: FileLoggingDestination, repo_path: Path | str | None) -> Place:
    kept = destination.to_data_source()
    assert isinstance(kept, FileSource)
    options = storage_options(kept)
    place = Place(location_of(kept.path, repo_path), options)
    file = place.location.endswith(".parquet") if place.remote else Path(place.location).is_file()
    if file or Place(f"{place.location}/_delta_log", options).exists():
        raise PointInTimeError(
            f"logged features: the destination {kept.path!r} is a file or a Delta table; required is a folder of "
            f"Parquet files, to which each write adds one. Give another path."
        )
    return place
