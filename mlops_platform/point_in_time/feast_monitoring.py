"""The monitoring half of Feast's offline store interface."""

from datetime import date, datetime
from typing import Any

import polars as pl
from feast.data_source import DataSource
from feast.infra.offline_stores.file_source import FileSource
from feast.monitoring.monitoring_utils import MONITORING_PARQUET_FILES
from feast.repo_config import RepoConfig

from mlops_platform.point_in_time.errors import PointInTimeError
from mlops_platform.point_in_time.feast_files import Place
from mlops_platform.point_in_time.feast_metric_files import MetricFile
from mlops_platform.point_in_time.feast_metrics import feature_metrics
from mlops_platform.point_in_time.feast_sources import location_of, open_source, storage_options
from mlops_platform.point_in_time.pulls import between
from mlops_platform.point_in_time.times import as_utc
from mlops_platform.point_in_time.view_frame import require_columns, schema_of


class PolarsMonitoring:
    """Metrics of features, computed in polars and kept in the files of Feast's own file stores.

    They lie in `feast_monitoring/` below the repository. A save is one step and replaces rows of the same key; savers
    on one machine wait for each other.
    """

    @staticmethod
    def compute_monitoring_metrics(
        config: RepoConfig,
        data_source: DataSource,
        feature_columns: list[tuple[str, str]],
        timestamp_field: str,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        histogram_bins: int = 20,
        top_n: int = 10,
    ) -> list[dict[str, Any]]:
        """Return the metrics of features over the rows with an event time in `[start_date, end_date]`.

        Args:
            config: The repository's configuration.
            data_source: The source.
            feature_columns: Names, as in the source or as its field mapping gives them, each with "numeric" or
                "categorical".
            timestamp_field: The event column of the source.
            start_date: First moment, or None; no zone means UTC.
            end_date: Last moment, likewise. Without both, rows without an event time count too.
            histogram_bins: Number of bars of a numeric histogram.
            top_n: Number of values that a categorical histogram names.

        Returns:
            A dict a feature, in the order asked, as Feast's DuckDB store gives them, but: a feature of nulls only
            keeps its row count, and what is finite is measured even beside a NaN.

        Raises:
            PointInTimeError: A missing file or column, or a column that is not numeric.
        """
        table, where = open_source(config, data_source)
        schema = schema_of(table.frame, where=where)
        stored = {mapped: column for column, mapped in (data_source.field_mapping or {}).items()}
        columns = {name: name if name in schema else stored.get(name, name) for name, _ in feature_columns}
        require_columns(
            list(columns.values()),
            schema,
            where=where,
            remedy="Correct the source or the schema that names the column.",
        )
        rows = table.frame
        if start_date is not None or end_date is not None:
            rows = between(
                rows, name=where, columns=list(columns.values()), event_timestamp=timestamp_field,
                start=start_date, end=end_date,
            )  # fmt: skip
        measured = rows.select(pl.col(column).alias(name) for name, column in columns.items())
        return feature_metrics(
            _collected(measured, where), feature_columns, where=where, bins=histogram_bins, top=top_n
        )

    @staticmethod
    def get_monitoring_max_timestamp(
        config: RepoConfig, data_source: DataSource, timestamp_field: str
    ) -> datetime | None:
        """Return the latest event time of a source, in UTC; None if it has no rows or nothing was written to it yet.

        Raises:
            PointInTimeError: A missing column, or one that holds no times.
        """
        if isinstance(data_source, FileSource) and not _place(config, data_source).exists():
            return None
        table, where = open_source(config, data_source)
        schema = schema_of(table.frame, where=where)
        require_columns([timestamp_field], schema, where=where, remedy="Correct the source's timestamp field.")
        event = as_utc(timestamp_field, schema[timestamp_field], where=where)
        found = _collected(table.frame.select(event.max()), where).item()
        assert found is None or isinstance(found, datetime)
        return found

    @staticmethod
    def ensure_monitoring_tables(config: RepoConfig) -> None:
        """Create the files of all kinds of metrics that are not there yet."""
        for metric_type in MONITORING_PARQUET_FILES:
            MetricFile(config.repo_path, metric_type).ensure()

    @staticmethod
    def save_monitoring_metrics(config: RepoConfig, metric_type: str, metrics: list[dict[str, Any]]) -> None:
        """Add metrics; those with the key of earlier ones replace them. The file is replaced in one step.

        Raises:
            ValueError: An unknown metric type.
        """
        if metrics:
            MetricFile(config.repo_path, metric_type).save(metrics)

    @staticmethod
    def query_monitoring_metrics(
        config: RepoConfig,
        project: str,
        metric_type: str,
        filters: dict[str, Any] | None = None,
        start_date: date | None = None,
        end_date: date | None = None,
    ) -> list[dict[str, Any]]:
        """Return metrics with a date in `[start_date, end_date]`, by date; an empty project means every project.

        Raises:
            ValueError: An unknown metric type; (PointInTimeError) a filter that names no column.
        """
        conditions = {**(filters or {}), "project_id": project or None}
        return MetricFile(config.repo_path, metric_type).query(conditions, start_date, end_date)

    @staticmethod
    def clear_monitoring_baseline(
        config: RepoConfig,
        project: str,
        feature_view_name: str | None = None,
        feature_name: str | None = None,
        data_source_type: str | None = None,
    ) -> None:
        """Mark the metrics of features, of one view, feature or kind of source if named, as no baseline any more."""
        conditions = {
            "project_id": project, "feature_view_name": feature_view_name, "feature_name": feature_name,
            "data_source_type": data_source_type,
        }  # fmt: skip
        MetricFile(config.repo_path, "feature").clear_baseline(conditions)


def _place(config: RepoConfig, source: FileSource) -> Place:
    return Place(location_of(source.path, config.repo_path), storage_options(source))


def _collected(rows: pl.LazyFrame, where: str) -> pl.DataFrame:
    try:
        return rows.collect()
    except (OSError, pl.exceptions.PolarsError) as found:
        raise PointInTimeError(f"{where}: reading failed: {found}") from found
