"""Pulls, materialization, saved datasets and writes inside a real Feast repository."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from feast.data_format import DeltaFormat, ParquetFormat
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage

from mlops_platform.point_in_time import PointInTimeError
from mlops_platform.point_in_time.feast_store import PolarsOfflineStore

T = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MICRO = timedelta(microseconds=1)
KNOWN = [None, 1, None, 1, 2]
Make = Callable[..., Any]


@pytest.mark.parametrize("latest_only", [False, True])
def test_materialize_serves_the_latest_row_of_each_key(
    open_store: Make, stats: Make, stats_rows: pl.DataFrame, tmp_path: Path, latest_only: bool
) -> None:
    store = open_store(stats())
    store.config.materialization_config.pull_latest_features = latest_only
    if not latest_only:  # Feast itself cannot encode a null key, and only the latest pull leaves such rows out
        stats_rows.drop_nulls("driver_id").write_delta(tmp_path / "data/stats", mode="overwrite")
    store.materialize(T - 9 * HOUR, T)
    keys = [{"driver_id": key} for key in (1, 2, 9)]
    got = store.get_online_features(["stats:trips", "stats:name", "stats:tags"], keys).to_dict()
    assert (got["trips"], got["name"]) == ([2, None, None], ["b", "c", None])


def test_materialize_a_view_without_entities(open_store: Make, stats: Make) -> None:
    store = open_store(stats(keyed=False))
    # Without this Feast writes every row under the one key and the last of the file stays, however old it is.
    store.config.materialization_config.pull_latest_features = True
    store.materialize(T - 9 * HOUR, T)
    assert store.get_online_features(["stats:trips"], [{"__dummy_id": ""}]).to_dict()["trips"] == [2]


def test_pull_latest_is_one_row_per_key(open_store: Make, stats: Make) -> None:
    config, source = open_store(stats()).config, stats().batch_source
    latest = PolarsOfflineStore.pull_latest_from_table_or_query(
        config, source, ["driver_id"], ["trips"], "event", "known", T - 2 * HOUR, T - HOUR
    )
    assert latest.to_polars().sort("driver_id").select("driver_id", "trips").rows() == [(1, 2), (2, None)]
    assert latest.to_arrow().column_names == ["driver_id", "trips", "event", "known"]
    assert "delta 'data/stats' version 0" in latest.explain()
    alone = PolarsOfflineStore.pull_latest_from_table_or_query(config, source, [], ["trips"], "event", "known")
    assert alone.to_polars().select("__dummy_id", "trips").rows() == [("", 2)]
    with pytest.raises(PointInTimeError, match="source 'stats_source': no column 'nobody'"):
        PolarsOfflineStore.pull_latest_from_table_or_query(config, source, ["nobody"], [], "event", None)


@pytest.mark.parametrize(
    ("start", "end", "trips"),
    [
        (T - 2 * HOUR, T - HOUR, [1, 2, None, 4]),
        (T - 2 * HOUR + MICRO, T - HOUR, [2, None, 4]),
        (T - 2 * HOUR, T - HOUR - MICRO, [1]),
        ((T - 2 * HOUR).replace(tzinfo=None), None, [1, 2, None, 4]),
        (None, None, [1, 2, None, 4]),
    ],
)
def test_pull_all_includes_both_ends(open_store: Make, stats: Make, start: Any, end: Any, trips: list[Any]) -> None:
    job = PolarsOfflineStore.pull_all_from_table_or_query(
        open_store(stats()).config, stats().batch_source, ["driver_id"], ["trips"], "event", "known", start, end
    )
    assert job.to_polars()["trips"].to_list() == trips
    assert job.to_polars()["known"].null_count() == 0  # Feast's online stores cannot store a null created


def test_columns_of_a_delta_source_are_inferred(open_store: Make, stats: Make) -> None:
    """Feast's own code looks for a relative Delta path in the working directory; ours looks in the repository."""
    store = open_store(stats())
    found = PolarsOfflineStore().get_table_column_names_and_types_from_data_source(store.config, stats().batch_source)
    assert list(found)[:4] == [
        ("driver_id", "int64"), ("event", "timestamp[us, tz=UTC]"), ("known", "timestamp[us, tz=UTC]"),
        ("trips", "int64"),
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["data/out.parquet", "data/out", "data/out_delta"])
def test_persist(open_store: Make, stats: Make, ask: Make, tmp_path: Path, path: str) -> None:
    store = open_store(stats())
    storage = SavedDatasetFileStorage(path, DeltaFormat() if path.endswith("delta") else ParquetFormat())
    ask(store).persist(storage)
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        ask(store).persist(storage)
    ask(store).persist(storage, allow_overwrite=True)
    read = pl.read_delta if path.endswith("delta") else pl.read_parquet
    assert read(tmp_path / path)["trips"].to_list() == KNOWN
    assert not list((tmp_path / "data").glob(".out*"))


def test_saved_dataset_comes_back(open_store: Make, stats: Make, ask: Make) -> None:
    store = open_store(stats())
    with pytest.warns(RuntimeWarning, match="experimental"):
        saved = store.create_saved_dataset(ask(store), "d", SavedDatasetFileStorage("data/saved.parquet"))
    assert list(saved.to_df()["driver_id"]) == [2, 1, 9, 1, 1]


@pytest.mark.parametrize("path", ["data/stats", "data/stats.parquet", "data/folder"])
def test_offline_write_appends(
    open_store: Make, stats: Make, ask: Make, stats_rows: pl.DataFrame, tmp_path: Path, path: str
) -> None:
    (tmp_path / "data/folder").mkdir()
    stats_rows.write_parquet(tmp_path / "data/folder/0.parquet")
    store = open_store(view := stats(path, delta=path == "data/stats"))
    rows = stats_rows.head(1).with_columns(event=pl.lit(T), known=None, trips=pl.lit(50)).cast(stats_rows.schema)
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    with pytest.raises(ValueError, match="in this order"):
        PolarsOfflineStore.offline_write_batch(store.config, view, table.select(table.column_names[::-1]), None)
    PolarsOfflineStore.offline_write_batch(store.config, view, table, None)
    assert ask(store).to_polars()["trips"].to_list() == [None, 50, None, 50, 50]
