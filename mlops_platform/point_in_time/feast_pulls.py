"""The pulling half of Feast's offline store interface: rows of one source, for materialization and saved datasets."""

from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl
from feast.data_source import DataSource
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.repo_config import RepoConfig

from mlops_platform.point_in_time.feast_job import PolarsRetrievalJob, TableRead
from mlops_platform.point_in_time.feast_sources import open_source
from mlops_platform.point_in_time.pulls import between, latest

_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


class PolarsPulls:
    """Pulls from FileSources: Parquet files and folders, and Delta tables at one version."""

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
        table, where = open_source(config, data_source)
        rows = latest(
            table.frame, name=where, keys=join_key_columns, columns=feature_name_columns,
            event_timestamp=timestamp_field, known_timestamp=created_timestamp_column or None,
            start=start_date, end=end_date, unchanged=table.unchanged, memory_budget=config.offline_store.budget(),
        )  # fmt: skip
        read = TableRead.of(table, where, timestamp_field, created_timestamp_column or None, "ignore")
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
        table, where = open_source(config, data_source)
        columns = [*join_key_columns, *feature_name_columns] if feature_name_columns else []
        rows = between(
            table.frame, name=where, columns=columns, event_timestamp=timestamp_field,
            known_timestamp=created_timestamp_column or None, start=start_date, end=end_date,
        )  # fmt: skip
        read = TableRead.of(table, where, timestamp_field, created_timestamp_column or None, "ignore")
        return _pull_job(config, rows, read, join_key_columns)


def _pull_job(
    config: RepoConfig, rows: pl.LazyFrame, read: TableRead, join_key_columns: Sequence[str]
) -> PolarsRetrievalJob:
    if read.known_timestamp:
        # Feast's online stores cannot store a null here; the epoch says the same: known from the first, loses ties.
        rows = rows.with_columns(pl.col(read.known_timestamp).fill_null(_ALWAYS))
    if not join_key_columns:
        # Feast stores a view without entities under one dummy key.
        rows = rows.with_columns(pl.lit(DUMMY_ENTITY_VAL).alias(DUMMY_ENTITY_ID))
    return PolarsRetrievalJob(
        frame=rows, reads=[read], repo_path=config.repo_path, staging=config.offline_store.staging()
    )
