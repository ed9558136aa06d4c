"""Appending to partitioned folders, types on the way in, and the log of served features."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureService, FileSource
from feast.feature_logging import LoggingConfig
from feast.infra.offline_stores.file_source import FileLoggingDestination, SavedDatasetFileStorage

from mlops_platform.point_in_time import PointInTimeError
from mlops_platform.point_in_time.feast_sources import TableReader
from mlops_platform.point_in_time.feast_store import PolarsOfflineStore
from mlops_platform.point_in_time.feast_writes import append

T = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
Make = Callable[..., Any]


def write(repo: Path, rows: pl.DataFrame) -> pl.DataFrame:
    """Append rows to the folder `hive` of a repository; return what it holds then, in the order of reading."""
    source = FileSource(path="hive", timestamp_field="event")
    opened = TableReader(repo, {}).open(source, where="here")
    append(opened, source, rows.to_arrow(compat_level=pl.CompatLevel.oldest()))
    return TableReader(repo, {}).open(source, where="here").frame.collect()


def hive(repo: Path, **files: list[int]) -> None:
    for folder, values in files.items():
        path = repo / "hive" / folder.replace("__", "=").replace("_in_", "/")
        path.mkdir(parents=True)
        pq.write_table(pa.table({"x": pa.array(values, pa.int32())}), path / "0.parquet")


def test_each_partition_gets_one_file(tmp_path: Path) -> None:
    hive(tmp_path, month__01=[1], month__02=[2])
    rows = pl.DataFrame({"x": [10, 20, 30, 40], "month": [2, 1, 3, 2]})
    got = write(tmp_path, rows)
    assert got.rows() == [(1, 1), (20, 1), (2, 2), (10, 2), (40, 2), (30, 3)]
    assert got.schema["x"] == pl.Int32
    assert sorted(path.name for path in (tmp_path / "hive").iterdir()) == ["month=01", "month=02", "month=3"]
    assert len(list((tmp_path / "hive").rglob("*"))) == 3 + 2 + 3
    assert write(tmp_path, rows.clear()).height == 6


def test_partitions_of_every_type_come_back(tmp_path: Path) -> None:
    rows = pl.DataFrame(
        {
            "x": [1, 2, 3], "day": [date(2024, 3, 1), date(2024, 3, 2), None], "place": ["a/b", "ü =%", "a b"],
            "flag": [True, False, True], "at": [datetime(2024, 3, 1, 5, 6)] * 3,
        }
    )  # fmt: skip
    keys = ["day", "place", "flag", "at"]
    rows.write_parquet(tmp_path / "hive", partition_by=keys, mkdir=True)
    got = write(tmp_path, rows)
    assert got.select(rows.columns).sort(rows.columns).equals(pl.concat([rows, rows]).sort(rows.columns))


def test_partition_column_that_is_in_the_files_too(tmp_path: Path) -> None:
    (tmp_path / "hive/k=1").mkdir(parents=True)
    pq.write_table(pa.table({"k": [1], "x": [5]}), tmp_path / "hive/k=1/0.parquet")
    write(tmp_path, pl.DataFrame({"k": [2], "x": [6]}))
    (new,) = (tmp_path / "hive/k=2").iterdir()
    assert pq.read_schema(new).names == ["k", "x"]


def test_folders_that_are_no_partitions(tmp_path: Path) -> None:
    hive(tmp_path, **{"2023": [1], "2024": [2]})
    assert write(tmp_path, pl.DataFrame({"x": [3]})).rows() == [(1,), (2,), (3,)]


def test_two_ways_of_partitioning_are_refused(tmp_path: Path) -> None:
    hive(tmp_path, a__1_in_b__1=[1], b__1_in_a__1=[2])
    with pytest.raises(PointInTimeError, match=r"one way of partitioning; found files partitioned by \[\['a', 'b'\]"):
        write(tmp_path, pl.DataFrame({"x": [3], "a": [1], "b": [1]}))


@pytest.mark.parametrize("path", ["data/stats", "data/stats.parquet"])
def test_values_are_cast_to_what_is_stored_or_refused(
    open_store: Make, stats: Make, stats_rows: pl.DataFrame, path: str
) -> None:
    store = open_store(view := stats(path))
    rows = stats_rows.with_columns(pl.col("driver_id", "trips").cast(pl.Int32), pl.col("rate").cast(pl.Float64))
    seen: list[int] = []
    PolarsOfflineStore.offline_write_batch(store.config, view, rows.to_arrow(), seen.append)
    assert seen == [4]
    wrong = rows.with_columns(trips=pl.lit("many")).to_arrow()
    with pytest.raises(PointInTimeError, match=r"'trips' of the rows is large_string.*; required is int64, as stored"):
        PolarsOfflineStore.offline_write_batch(store.config, view, wrong, None)
    assert TableReader(store.config.repo_path, {}).open(view.batch_source, where="").frame.collect().height == 8


def test_store_writes_a_pandas_frame(open_store: Make, stats: Make, stats_rows: pl.DataFrame, ask: Make) -> None:
    store = open_store(stats())
    rows = stats_rows.head(1).with_columns(event=pl.lit(T), trips=pl.lit(50), known=pl.lit(T)).to_pandas()
    store.write_to_offline_store("stats", rows[rows.columns[::-1]])
    assert ask(store).to_polars()["trips"].to_list() == [None, 50, None, 50, 50]


def logs(count: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "driver_id": [1] * count, "stats__trips": [7] * count,
            "stats__trips__timestamp": [T] * count, "stats__trips__status": pl.Series([2] * count, dtype=pl.Int32),
            "__log_timestamp": [T + number * HOUR for number in range(count)],
            "__log_date": [(T + 13 * number * HOUR).date() for number in range(count)],
            "__request_id": [str(number) for number in range(count)],
        }
    )  # fmt: skip


@pytest.mark.parametrize("partition_by", [None, ["__log_date", "driver_id"]])
def test_logged_features_come_back(open_store: Make, stats: Make, tmp_path: Path, partition_by: Any) -> None:
    destination = FileLoggingDestination(path="data/logs", partition_by=partition_by)
    view = stats()
    service = FeatureService(name="svc", features=[view[["trips"]]], logging_config=LoggingConfig(destination))
    store = open_store(view, service)
    table = logs(3).to_arrow(compat_level=pl.CompatLevel.oldest())
    store.write_logged_features(table.slice(0, 0), store.get_feature_service("svc"))
    store.write_logged_features(table, store.get_feature_service("svc"))
    pq.write_table(table, (flushed := tmp_path / "flushed").mkdir() or flushed / "0.parquet")
    store.write_logged_features(flushed, store.get_feature_service("svc"))
    job = store._get_provider().retrieve_feature_service_logs(service, T, T + HOUR, store.config, store.registry)
    got = job.to_polars()
    assert sorted(got["__request_id"]) == ["0", "0", "1", "1"]
    assert (got.schema["__log_date"], got["stats__trips"].to_list()) == (pl.Date, [7] * 4)
    folders = {
        path.parent.relative_to(tmp_path / "data/logs").as_posix() for path in tmp_path.glob("data/logs/**/*.parquet")
    }
    assert folders == ({"."} if partition_by is None else {f"__log_date=2024-03-0{day}/driver_id=1" for day in (1, 2)})


def test_log_that_cannot_be_kept_is_refused(open_store: Make, stats: Make, tmp_path: Path) -> None:
    view, table = stats(), logs(1).to_arrow(compat_level=pl.CompatLevel.oldest())
    store = open_store(view)

    def log(rows: pa.Table, destination: Any) -> None:
        service = FeatureService(name="svc", features=[view[["trips"]]], logging_config=LoggingConfig(destination))
        store.write_logged_features(rows, service)

    with pytest.raises(PointInTimeError, match="no column '__log_timestamp'; found driver_id"):
        log(table.drop_columns("__log_timestamp"), FileLoggingDestination(path="data/logs"))
    with pytest.raises(PointInTimeError, match=r"no column 'hour'.*correct partition_by"):
        log(table, FileLoggingDestination(path="data/logs", partition_by=["hour"]))
    for path in ("data/stats", "data/stats.parquet"):
        with pytest.raises(PointInTimeError, match=f"the destination '{path}' is a file or a Delta table"):
            log(table, FileLoggingDestination(path=path))
    with pytest.raises(PointInTimeError, match="required is a FileLoggingDestination; found SavedDatasetFileStorage"):
        log(table, SavedDatasetFileStorage("data/logs"))
