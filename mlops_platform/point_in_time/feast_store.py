"""A Feast offline store on the point-in-time engine, for any Feast project with FileSources.

In `feature_store.yaml`:

    offline_store:
      type: mlops_platform.point_in_time.feast_store.PolarsOfflineStore
      known_time: respect            # the default; `ignore` restores Feast's habit
      known_time_by_view: {}         # view name -> respect | ignore
      table_versions: {}             # path of a Delta table as its FileSource has it -> version to read
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pyarrow as pa
from feast.data_source import DataSource
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL, FeatureView
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from pydantic import Field

from mlops_platform.point_in_time.engine import between, join_as_of, latest
from mlops_platform.point_in_time.errors import PointInTimeError
from mlops_platform.point_in_time.feast_entities import EntityFrame, read_entities
from mlops_platform.point_in_time.feast_job import PolarsRetrievalJob, TableRead
from mlops_platform.point_in_time.feast_sources import OpenedTable, TableReader
from mlops_platform.point_in_time.feast_views import requested_features, view_frame
from mlops_platform.point_in_time.feast_writes import append, stored_types
from mlops_platform.point_in_time.pruning import pruned
from mlops_platform.point_in_time.view_frame import KnownTime, ViewFrame

# A semi-join of the keys costs about as much as the sort it saves, unless it leaves little: only for far fewer rows.
_FEW_KEYS = 50
_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


class PolarsOfflineStoreConfig(FeastConfigBaseModel):
    """Configuration of PolarsOfflineStore; see the module."""

    type: Literal["mlops_platform.point_in_time.feast_store.PolarsOfflineStore"] = (
        "mlops_platform.point_in_time.feast_store.PolarsOfflineStore"
    )
    known_time: KnownTime = "respect"
    known_time_by_view: dict[str, KnownTime] = Field(default_factory=dict)
    table_versions: dict[str, int] = Field(default_factory=dict)


class PolarsOfflineStore(OfflineStore):
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
        **kwargs: Any,
    ) -> PolarsRetrievalJob:
        """Join features to entity rows as of their times; see the page of the room for what that means.

        Args:
            config: The repository's configuration.
            feature_views: The views that the references name.
            feature_refs: References `view:feature`.
            entity_df: A pandas, polars (eager or lazy) or Arrow frame; every column is kept, rows in order. Its time
                column is `event_timestamp`, else its only datetime column; naive times are UTC, text is parsed.
            registry: The registry.
            project: The project.
            full_feature_names: Whether output columns are `<view>__<feature>`.
            filter_by_created_timestamp: True respects known time in every view, whatever is configured.
            **kwargs: `start_date`, `end_date`: not built.

        Returns:
            A job of as many rows as `entity_df`; Delta tables are pinned to the version current now.

        Raises:
            PointInTimeError: SQL text, retrieval by dates, missing files, columns or features, types that differ.
        """
        entities = read_entities(entity_df)
        forced: KnownTime | None = "respect" if filter_by_created_timestamp else None
        requested = requested_features(feature_refs, feature_views, registry, project)
        views, reads = _plan(config, requested, full_feature_names, forced)
        plain, timed = _joined(entities, views)
        return PolarsRetrievalJob(
            frame=plain,
            timed=timed,
            reads=reads,
            repo_path=config.repo_path,
            full_feature_names=full_feature_names,
            on_demand_feature_views=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            metadata=RetrievalMetadata(
                features=feature_refs,
                keys=[name for name in entities.rows.columns if name != entities.event_timestamp],
                min_event_timestamp=entities.earliest,
                max_event_timestamp=entities.latest,
            ),
            notes=[f"entity time: {entities.event_timestamp!r}, the only datetime column"] if entities.inferred else [],
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> PolarsRetrievalJob:
        """Return the newest row of each key with an event time in `[start_date, end_date]`, both ends included.

        Column names are those of the source. Newest is by event, then created, then file order; known time does not
        hide a row here: what is asked for is the best knowledge of now. Without keys, the one newest row. A null
        created comes back as 1970-01-01.

        Raises:
            PointInTimeError: A missing file or column.
        """
        table, where = _open(config, data_source)
        rows = latest(
            table.frame, name=where, keys=join_key_columns, columns=feature_name_columns,
            event_timestamp=timestamp_field, known_timestamp=created_timestamp_column or None,
            start=start_date, end=end_date,
        )  # fmt: skip
        read = _read(where, table, timestamp_field, created_timestamp_column or None, "ignore")
        return _pull_job(config, rows, read, join_key_columns)

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> PolarsRetrievalJob:
        """Return every row with an event time in `[start_date, end_date]`, both ends included, in file order.

        Column names are those of the source. A null created comes back as 1970-01-01.

        Raises:
            PointInTimeError: A missing file or column.
        """
        table, where = _open(config, data_source)
        columns = [*join_key_columns, *feature_name_columns] if feature_name_columns else []
        rows = between(
            table.frame, name=where, columns=columns, event_timestamp=timestamp_field,
            known_timestamp=created_timestamp_column or None, start=start_date, end=end_date,
        )  # fmt: skip
        read = _read(where, table, timestamp_field, created_timestamp_column or None, "ignore")
        return _pull_job(config, rows, read, join_key_columns)

    @staticmethod
    def offline_write_batch(
        config: RepoConfig, feature_view: FeatureView, table: pa.Table, progress: Callable[[int], Any] | None
    ) -> None:
        """Append rows to the batch source of a view: a commit to Delta, a new file in a folder.

        Raises:
            PointInTimeError: (a ValueError) The columns are not exactly those of the source, in its order.
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
        """Raise NotImplementedError: not built yet; the platform keeps its own prediction log."""
        raise NotImplementedError("PolarsOfflineStore does not write logged features yet.")

    def get_table_column_names_and_types_from_data_source(
        self, config: RepoConfig, data_source: DataSource
    ) -> Iterable[tuple[str, str]]:
        """Return the columns of a source with the names of their Arrow types; works for Delta, unlike Feast's own."""
        return stored_types(_open(config, data_source)[0])


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
        reads.append(_read(name, table, frame.event_timestamp, frame.known_timestamp, known_time))
    return views, reads


def _joined(entities: EntityFrame, views: Sequence[ViewFrame]) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Return the join without and with the times of the rows chosen."""
    narrowed = []
    for view in views:
        few = entities.rows.height * _FEW_KEYS < view.frame.select(pl.len()).collect().item()
        keys_of = entities.rows.lazy() if few else None
        narrowed.append(pruned(view, earliest=entities.earliest, latest=entities.latest, entities=keys_of))
    rows, time = entities.rows.lazy(), entities.event_timestamp
    plain = join_as_of(rows, narrowed, event_timestamp=time)
    return plain, join_as_of(rows, narrowed, event_timestamp=time, with_times=True)


def _open(config: RepoConfig, source: DataSource) -> tuple[OpenedTable, str]:
    where = f"source {source.name!r}"
    return _reader(config).open(source, where=where), where


def _read(view: str, table: OpenedTable, event: str, known: str | None, known_time: KnownTime) -> TableRead:
    return TableRead(
        view=view, path=table.path, location=table.location, format=table.format, version=table.version,
        event_timestamp=event, known_timestamp=known, known_time=known_time,
    )  # fmt: skip


def _pull_job(
    config: RepoConfig, rows: pl.LazyFrame, read: TableRead, join_key_columns: Sequence[str]
) -> PolarsRetrievalJob:
    if read.known_timestamp:
        # Feast's online stores cannot store a null here; the epoch says the same: known from the first, loses ties.
        rows = rows.with_columns(pl.col(read.known_timestamp).fill_null(_ALWAYS))
    if not join_key_columns:
        # Feast stores a view without entities under one dummy key.
        rows = rows.with_columns(pl.lit(DUMMY_ENTITY_VAL).alias(DUMMY_ENTITY_ID))
    return PolarsRetrievalJob(frame=rows, reads=[read], repo_path=config.repo_path)
