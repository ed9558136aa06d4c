"""Historical features without an entity frame: every (keys, event time) within two dates."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from feast import Entity, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.errors import RequestDataNotFoundInEntityDfException
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Int64

from mlops_platform.point_in_time import PointInTimeError
from mlops_platform.point_in_time.feast_dates import date_range
from mlops_platform.point_in_time.feast_store import PolarsOfflineStore

T = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MICRO = timedelta(microseconds=1)
EVERY = [(1, T - 2 * HOUR), (1, T - HOUR), (2, T - HOUR)]
KEY = Entity(name="driver_id", join_keys=["driver_id"], value_type=ValueType.INT64)
Make = Callable[..., Any]


def retrieve(store: Any, *features: str, start: Any = T - 2 * HOUR, end: Any = T - HOUR) -> Any:
    return store.get_historical_features(features=list(features or ["stats:trips"]), start_date=start, end_date=end)


def test_every_key_and_time_once(open_store: Make, stats: Make, stats_rows: pl.DataFrame, tmp_path: Path) -> None:
    stats_rows.write_delta(tmp_path / "data/stats", mode="append")
    job = retrieve(open_store(stats()))
    got = job.to_polars()
    assert got.columns == ["driver_id", "event_timestamp", "trips"]
    assert got.select("driver_id", "event_timestamp").rows() == EVERY
    # At T - 1 h the second row of driver 1 was true, but not yet known.
    assert got["trips"].to_list() == [1, 1, None]
    assert job.metadata.keys == ["driver_id"]
    assert (job.metadata.min_event_timestamp, job.metadata.max_event_timestamp) == (T - 2 * HOUR, T - HOUR)
    assert "entity rows: every (driver_id, event time) from 2024-03-01 10:00" in job.explain()


def test_known_time_ignored_shows_each_row_its_own(open_store: Make, stats: Make) -> None:
    assert retrieve(open_store(stats(), known_time="ignore")).to_polars()["trips"].to_list() == [1, 2, None]


@pytest.mark.parametrize(
    ("start", "end", "rows"),
    [
        (T - 2 * HOUR + MICRO, T - HOUR, EVERY[1:]),
        (T - 2 * HOUR, T - HOUR - MICRO, EVERY[:1]),
        ((T - HOUR).replace(tzinfo=None), T, EVERY[1:]),
        (T, T, []),
        (None, T - HOUR, EVERY),  # from the end back by the ttl of three days
        (T - HOUR, None, EVERY[1:]),
    ],
)
def test_ends_are_included_and_have_defaults(open_store: Make, stats: Make, start: Any, end: Any, rows: Any) -> None:
    got = retrieve(open_store(stats()), start=start, end=end).to_polars()
    assert got.select("driver_id", "event_timestamp").rows() == rows


def test_default_range_is_that_of_feast(stats: Make) -> None:
    assert date_range([stats()], None, T) == (T - timedelta(days=3), T)
    assert date_range([stats(ttl=None)], None, T) == (T - timedelta(days=30), T)
    assert date_range([stats(ttl=timedelta.max)], None, T)[0].year == 1
    start, end = date_range([stats()], None, None)
    assert end - start == timedelta(days=3)
    assert abs(datetime.now(UTC) - end) < HOUR
    with pytest.raises(PointInTimeError, match="required is start_date <= end_date"):
        date_range([stats()], T, T - MICRO)


def other_view(path: Path, rows: pl.DataFrame, *keys: str) -> FeatureView:
    rows.write_parquet(path / "data/other.parquet")
    entities = [Entity(name=key, join_keys=[key], value_type=ValueType.INT64) for key in keys]
    source = FileSource(name="other", path="data/other.parquet", timestamp_field="event")
    schema = [Field(name=name, dtype=Int64) for name in (*keys, "x")]
    return FeatureView(name="other", source=source, schema=schema, entities=entities, ttl=None)


def test_views_with_other_keys_add_their_rows(open_store: Make, stats: Make, tmp_path: Path) -> None:
    rows = pl.DataFrame({"shop": [7, None], "x": [70, 71], "event": [T - HOUR, T - HOUR]})
    view = other_view(tmp_path, rows, "shop")
    store = open_store(stats(), Entity(name="shop", join_keys=["shop"], value_type=ValueType.INT64), view)
    got = retrieve(store, "stats:name", "other:x").to_polars().sort("driver_id", "event_timestamp", nulls_last=True)
    assert got.columns == ["driver_id", "shop", "event_timestamp", "name", "x"]
    assert got.drop("event_timestamp").rows() == [
        (1, None, "a", None), (1, None, "a", None), (2, None, "c", None), (None, 7, None, 70),
    ]  # fmt: skip


def test_view_without_keys_adds_rows_only_when_alone(open_store: Make, stats: Make) -> None:
    store = open_store(stats(), stats(name="whole", keyed=False))
    alone = retrieve(store, "whole:trips").to_polars()
    assert (alone.columns, alone["event_timestamp"].to_list()) == (
        ["event_timestamp", "trips"],
        [T - 2 * HOUR, T - HOUR],
    )
    both = retrieve(store, "stats:trips", "whole:rate").to_polars()
    assert both["driver_id"].to_list() == [1, 1, 2]
    assert both["rate"].to_list() == [0.5, 3.5, 3.5]  # of the whole view, the last row of the file


def test_key_of_two_types_is_refused(open_store: Make, stats: Make, tmp_path: Path) -> None:
    view = other_view(tmp_path, pl.DataFrame({"driver_id": ["1"], "x": [1], "event": [T]}), "driver_id")
    with pytest.raises(
        PointInTimeError, match=r"view 'other': the key 'driver_id' is String, but in view 'stats' it is"
    ):
        retrieve(open_store(stats(), KEY, view), "stats:trips", "other:x")


def test_key_widths_meet(open_store: Make, stats: Make, tmp_path: Path) -> None:
    rows = pl.DataFrame({"driver_id": pl.Series([1], dtype=pl.Int32), "x": [5], "event": [T - 2 * HOUR]})
    view = other_view(tmp_path, rows, "driver_id")
    store = open_store(stats(), KEY, view)
    got = retrieve(store, "stats:trips", "other:x").to_polars()
    assert (got.schema["driver_id"], got["x"].to_list()) == (pl.Int64, [5, 5, None])


def test_entities_and_dates_at_once_are_refused(open_store: Make, stats: Make) -> None:
    store, asked = open_store(view := stats()), pl.DataFrame({"driver_id": [1], "event_timestamp": [T]})
    with pytest.raises(PointInTimeError, match="found both"):
        PolarsOfflineStore.get_historical_features(
            store.config, [view], ["stats:trips"], asked, store.registry, "p", end_date=T
        )


def test_request_data_cannot_come_from_dates(open_store: Make, stats: Make) -> None:
    asked = RequestSource(name="asked", schema=[Field(name="add", dtype=Int64)])

    @on_demand_feature_view(sources=[view := stats(), asked], schema=[Field(name="sum", dtype=Int64)], mode="python")
    def summed(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"sum": inputs["add"]}

    with pytest.warns(RuntimeWarning, match="experimental"):
        store = open_store(view, summed)
    with pytest.raises(RequestDataNotFoundInEntityDfException, match="add"):
        retrieve(store, "summed:sum")


def test_saved_dataset_of_dates(open_store: Make, stats: Make) -> None:
    from feast.infra.offline_stores.file_source import SavedDatasetFileStorage

    store = open_store(stats())
    with pytest.warns(RuntimeWarning, match="experimental"):
        store.create_saved_dataset(retrieve(store), "d", SavedDatasetFileStorage("data/saved.parquet"))
        assert list(store.get_saved_dataset("d").to_df()["driver_id"]) == [1, 1, 2]
