"""What the offline store refuses, and that it says so at once."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlops_platform.point_in_time import PointInTimeError

T = datetime(2024, 3, 1, 12, tzinfo=UTC)
ENTITIES = pl.DataFrame({"driver_id": [2, 1], "event_timestamp": [T, T]})
Make = Callable[..., Any]


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("SELECT 1", "SQL text is not run"),
        ([1], "found list"),
        (ENTITIES.drop("event_timestamp"), "0 datetime columns"),
        (ENTITIES.rename({"event_timestamp": "a"}).with_columns(b=pl.col("a")), "2 datetime columns"),
        (ENTITIES.with_columns(event_timestamp=pl.lit("soon")), "not all ISO 8601 times"),
        (ENTITIES.drop("driver_id"), "view 'stats', entity frame: no column 'driver_id'"),
        (ENTITIES.with_columns(driver_id=pl.lit("1")), "'driver_id' is String .* is Int64"),
        (ENTITIES.with_columns(trips=0), "'trips' is already given by the entity frame"),
    ],
)
def test_entity_frames_that_do_not_fit(open_store: Make, stats: Make, ask: Make, asked: Any, text: str) -> None:
    with pytest.raises(PointInTimeError, match=text):
        ask(open_store(stats()), asked)


@pytest.mark.parametrize(
    ("view", "offline", "text"),
    [
        ({"path": "data/none"}, {}, "view 'stats': no Delta table at .*none"),
        ({"path": "data/none.parquet"}, {}, r"view 'stats': no file or folder .*none.parquet"),
        ({"delta": False}, {}, r"a Delta table, but its source says Parquet.*file_format=DeltaFormat\(\)"),
        ({"path": "data/empty", "delta": False}, {}, "holds no .parquet file"),
        ({}, {"table_versions": {"data/stats": 7}}, "no Delta table at version 7"),
        ({"path": "data/stats.parquet"}, {"table_versions": {"data/stats.parquet": 7}}, "which keeps no versions"),
        ({"lost": True}, {}, "view 'stats': no column 'lost'; found driver_id: Int64"),
    ],
)
def test_missing_tables_versions_and_columns(
    open_store: Make, stats: Make, ask: Make, tmp_path: Path, view: dict[str, Any], offline: dict[str, Any], text: str
) -> None:
    store = open_store(stats(**view), **offline)
    (tmp_path / "data/empty").mkdir()
    with pytest.raises(PointInTimeError, match=text):
        ask(store, features=["stats:lost" if view.get("lost") else "stats:trips"])


def test_unknown_feature(open_store: Make, stats: Make) -> None:
    """Asked through a FeatureStore, Feast's own KeyError comes first."""
    from mlops_platform.point_in_time.feast_store import PolarsOfflineStore

    store = open_store(view := stats())
    with pytest.raises(PointInTimeError, match="view 'stats': no feature 'typo'; found trips, name"):
        PolarsOfflineStore.get_historical_features(
            store.config, [view], ["stats:typo"], ENTITIES, store.registry, store.project
        )


def test_what_is_not_built_says_so(open_store: Make, stats: Make, ask: Make) -> None:
    store = open_store(stats())
    with pytest.raises(PointInTimeError, match="by dates without entities is not built"):
        store.get_historical_features(features=["stats:trips"], start_date=T)
    with pytest.raises(NotImplementedError, match="has no timeout"):
        ask(store).to_arrow(timeout=3)
    with pytest.raises(NotImplementedError, match="use persist"):
        ask(store).to_remote_storage()
    with pytest.raises(NotImplementedError, match="logged features"):
        store._get_provider().offline_store.write_logged_features(store.config, None, None, None, None)
