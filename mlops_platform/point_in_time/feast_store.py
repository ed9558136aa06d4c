"""A Feast offline store on the point-in-time engine, for any Feast project with FileSources.

In `feature_store.yaml`:

    offline_store:
      type: mlops_platform.point_in_time.feast_store.PolarsOfflineStore
      known_time: respect            # the default; `ignore` restores Feast's habit
      known_time_by_view: {}         # view name -> respect | ignore
      table_versions: {}             # path of a Delta table as its FileSource has it -> version to read
      memory_budget: null            # bytes, or text such as 6GiB; default: three quarters of what there is
      staging_location: null         # folder for `to_remote_storage`, as in Feast's DuckDB store
      staging_location_endpoint_override: null   # of an S3 staging location
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from feast.data_source import DataSource
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.feature_view import FeatureView
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from pydantic import Field

from mlops_platform.point_in_time.errors import PointInTimeError
from mlops_platform.point_in_time.feast_dates import date_range, entities_between
from mlops_platform.point_in_time.feast_entities import EntityFrame, read_entities
from mlops_platform.point_in_time.feast_job import Join, PolarsRetrievalJob, TableRead
from mlops_platform.point_in_time.feast_logging import write_log
from mlops_platform.point_in_time.feast_monitoring import PolarsMonitoring
from mlops_platform.point_in_time.feast_pulls import PolarsPulls
from mlops_platform.point_in_time.feast_sources import TableReader, check_times, open_source
from mlops_platform.point_in_time.feast_views import on_demand_views, requested_features, view_frame
from mlops_platform.point_in_time.feast_writes import append, stored_types
from mlops_platform.point_in_time.memory import default_budget, parse_bytes
from mlops_platform.point_in_time.view_frame import KnownTime, ViewFrame


class PolarsOfflineStoreConfig(FeastConfigBaseModel):
    """Configuration of PolarsOfflineStore; see the module."""

    type: Literal["mlops_platform.point_in_time.feast_store.PolarsOfflineStore"] = (
        "mlops_platform.point_in_time.feast_store.PolarsOfflineStore"
    )
    known_time: KnownTime = "respect"
    known_time_by_view: dict[str, KnownTime] = Field(default_factory=dict)
    table_versions: dict[str, int] = Field(default_factory=dict)
    memory_budget: int | str | None = None
    staging_location: str | None = None
    staging_location_endpoint_override: str | None = None

    def budget(self) -> int:
        """Return the memory budget in bytes.

        Raises:
            PointInTimeError: What is configured is no size.
        """
        return default_budget() if self.memory_budget is None else parse_bytes(self.memory_budget)

    def staging(self) -> FileSource | None:
        """Return the folder for `to_remote_storage`, or None."""
        if self.staging_location is None:
            return None
        return FileSource(path=self.staging_location, s3_endpoint_override=self.staging_location_endpoint_override)


class PolarsOfflineStore(PolarsPulls, PolarsMonitoring, OfflineStore):
    """Offline store over FileSources: Parquet files and folders, and Delta tables at one version."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: Any,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> PolarsRetrievalJob:
        """Join features to entity rows as of their times; see the page of the room for what that means.

        Args:
            config: The repository's configuration.
            feature_views: The views that the references name.
            feature_refs: References `view:feature` or `view@vN:feature`.
            entity_df: A pandas, polars (eager or lazy) or Arrow frame; every column is kept, rows in order. Its time
                column is `event_timestamp`, else its only datetime column; naive times are UTC, text is parsed. None
                asks for every (keys, event time) that the sources hold within the dates; see `entities_between`. A
                row recorded after its own event time is then not seen at it, unless known time is ignored.
            registry: The registry.
            project: The project.
            full_feature_names: Whether output columns are `<view>__<feature>`.
            filter_by_created_timestamp: True respects known time in every view, whatever is configured.
            start_date: First event time of a retrieval without entities, included; default: see `date_range`.
            end_date: Last one, included; default: now.

        Returns:
            A job of as many rows as `entity_df`; Delta tables are pinned to the version current now.

        Raises:
            PointInTimeError: SQL text, entities and dates at once, missing files, columns or features, types that
                differ.
            RequestDataNotFoundInEntityDfException: An on-demand view needs a column that the entity frame lacks.
        """
        entities = None if entity_df is None else read_entities(entity_df)
        forced: KnownTime | None = "respect" if filter_by_created_timestamp else None
        requested = requested_features(feature_refs, feature_views, registry, project)
        views, reads = _plan(config, requested, full_feature_names, forced)
        if entities is None:
            entities = entities_between(views, *date_range([view for view, _ in requested], start_date, end_date))
        elif start_date is not None or end_date is not None:
            raise PointInTimeError("required is an entity frame or dates; found both. Leave one of them out.")
        join = Join(entities=entities, views=views, memory_budget=_settings(config).budget())
        return PolarsRetrievalJob(
            frame=join.frame(),
            join=join,
            reads=reads,
            repo_path=config.repo_path,
            full_feature_names=full_feature_names,
            on_demand_feature_views=on_demand_views(feature_refs, registry, project, entities.rows.columns),
            metadata=_metadata(feature_refs, entities),
            notes=entities.notes,
            staging=_settings(config).staging(),
        )

    @staticmethod
    def offline_write_batch(
        config: RepoConfig, feature_view: FeatureView, table: pa.Table, progress: Callable[[int], Any] | None
    ) -> None:
        """Append rows to the batch source of a view: a commit to Delta, a new file in a folder or in each partition.

        Raises:
            PointInTimeError: (a ValueError) The columns are not exactly those of the source, in its order, or a value
                does not fit the type stored.
        """
        source = feature_view.batch_source
        opened = TableReader(config.repo_path, {}).open(source, where=f"view {feature_view.name!r}")
        assert isinstance(source, FileSource)  # checked by open
        append(opened, source, table)
        if progress:
            progress(table.num_rows)

    @staticmethod
    def write_logged_features(
        config: RepoConfig, data: pa.Table | Path, source: LoggingSource, logging_config: LoggingConfig,
        registry: BaseRegistry,
    ) -> None:  # fmt: skip
        """Add logged features, a table or a folder of Parquet files, to the folder of a FileLoggingDestination.

        Raises:
            PointInTimeError: Another kind of destination, or a column that is not there.
        """
        write_log(data, source, logging_config, config.repo_path)

    def validate_data_source(self, config: RepoConfig, data_source: DataSource) -> None:
        """Check that a source, Delta or Parquet, can be opened and has its time columns.

        Raises:
            PointInTimeError: It cannot be read as declared, where Feast's own check of a FileSource would only warn.
        """
        check_times(*open_source(config, data_source), data_source)

    def get_table_column_names_and_types_from_data_source(
        self, config: RepoConfig, data_source: DataSource
    ) -> Iterable[tuple[str, str]]:
        """Return the columns of a source with the names of their Arrow types; works for Delta, unlike Feast's own."""
        return stored_types(open_source(config, data_source)[0])


def _metadata(feature_refs: list[str], entities: EntityFrame) -> RetrievalMetadata:
    return RetrievalMetadata(
        features=feature_refs,
        keys=[name for name in entities.rows.columns if name != entities.event_timestamp],
        min_event_timestamp=entities.earliest,
        max_event_timestamp=entities.latest,
    )


def _settings(config: RepoConfig) -> PolarsOfflineStoreConfig:
    settings = config.offline_store
    if not isinstance(settings, PolarsOfflineStoreConfig):
        raise PointInTimeError(f"the offline store is configured as {type(settings).__name__}, not PolarsOfflineStore.")
    return settings


def _reader(config: RepoConfig) -> TableReader:
    return TableReader(config.repo_path, _settings(config).table_versions)


def _plan(
    config: RepoConfig,
    requested: Sequence[tuple[FeatureView, list[str]]],
    full_feature_names: bool,
    forced: KnownTime | None,
) -> tuple[list[ViewFrame], list[TableRead]]:
    """Return what is joined and what is read for it, view by view."""
    views: list[ViewFrame] = []
    reads: list[TableRead] = []
    settings, reader = _settings(config), _reader(config)
    for view, features in requested:
        name = view.projection.name_to_use()
        table = reader.open(view.batch_source, where=f"view {name!r}")
        known_time = forced or settings.known_time_by_view.get(view.name, settings.known_time)
        frame = view_frame(view, features, table, full_feature_names=full_feature_names, known_time=known_time)
        views.append(frame)
        reads.append(TableRead.of(table, name, frame.event_timestamp, frame.known_timestamp, known_time))
    return views, reads
