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


@pytest.mark.parametrize(
    ("changed", "features", "text"),
    [
        (
            {"trips": pl.lit("many")},
            ["trips"],
            r"'stats': the feature 'trips' is declared Int64, but its column 'trips'",
        ),
        (
            {"src_name": pl.lit(3)},
            ["name"],
            r"the feature 'name' is declared String, but its column 'src_name' is Int32",
        ),
        (
            {"tags": pl.lit("x")},
            ["tags"],
            r"the feature 'tags' is declared Array\(String\), but its column 'tags' is S",
        ),
        ({"tags": pl.lit([1])}, ["tags"], r"its column 'tags' is List\(Int64\). Correct the source, or declare"),
        ({"seen": pl.lit("then")}, ["seen"], "the feature 'seen' is declared UnixTimestamp"),
        ({"event": pl.lit(5)}, ["trips"], "view 'stats': the time column 'event' is of type Int32"),
        (
            {"driver_id": pl.lit("1")},
            ["trips"],
            "the key 'driver_id' is Int64 in the entity frame but 'driver_id' is S",
        ),
    ],
)
def test_column_that_changed_its_type(
    open_store: Make, stats: Make, stats_rows: pl.DataFrame, ask: Make, tmp_path: Path, changed: dict[str, pl.Expr],
    features: list[str], text: str,
) -> None:  # fmt: skip
    store = open_store(stats())
    options = {"schema_mode": "overwrite"}
    stats_rows.with_columns(**changed).write_delta(
        tmp_path / "data/stats", mode="overwrite", delta_write_options=options
    )
    with pytest.raises(PointInTimeError, match=text):
        ask(store, ENTITIES, features=[f"stats:{name}" for name in features]).to_arrow()


def test_types_that_stand_for_what_is_declared(
    open_store: Make, stats: Make, stats_rows: pl.DataFrame, ask: Make, tmp_path: Path
) -> None:
    other = {
        "trips": pl.lit(1.5),
        "src_name": pl.lit("a", pl.Categorical),
        "rate": pl.lit(None),
        "seen": pl.lit(T.date()),
    }
    stats_rows.with_columns(**other).write_parquet(tmp_path / "data/other.parquet")
    names = ["trips", "name", "rate", "seen", "tags"]
    got = ask(
        open_store(stats("data/other.parquet")), ENTITIES, features=[f"stats:{name}" for name in names]
    ).to_polars()
    assert got.drop("driver_id", "event_timestamp").row(1) == (1.5, "a", None, T.date(), ["x"])


def test_column_that_one_file_of_a_folder_has_lost(
    open_store: Make, stats: Make, stats_rows: pl.DataFrame, ask: Make, tmp_path: Path
) -> None:
    (tmp_path / "data/folder").mkdir()
    stats_rows.write_parquet(tmp_path / "data/folder/0.parquet")
    stats_rows.drop("trips").write_parquet(tmp_path / "data/folder/1.parquet")
    with pytest.raises(PointInTimeError, match="did not find column trips"):
        ask(open_store(stats("data/folder", delta=False)), ENTITIES).to_arrow()


def test_file_that_goes_away_before_the_job_runs(open_store: Make, stats: Make, ask: Make, tmp_path: Path) -> None:
    retrieval = ask(open_store(stats("data/stats.parquet")), ENTITIES)
    (tmp_path / "data/stats.parquet").unlink()
    with pytest.raises(PointInTimeError, match="stats"):
        retrieval.to_arrow()
