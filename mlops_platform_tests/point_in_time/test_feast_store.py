"""Historical features inside a real Feast repository."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from feast import FeatureService, FeatureStore, Field
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64

T = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ENTITIES = pl.DataFrame({"driver_id": [2, 1, 9, 1, 1], "event_timestamp": [T, T, T, T, T + HOUR]})
KNOWN, ALL = [None, 1, None, 1, 2], [None, 2, None, 2, 2]
Make = Callable[..., Any]


@pytest.mark.parametrize("path", ["data/stats", "data/stats.parquet"])
@pytest.mark.parametrize("kind", ["pandas", "polars", "lazy", "arrow"])
def test_historical_features_of_every_kind_of_frame(
    open_store: Make, stats: Make, ask: Make, path: str, kind: str
) -> None:
    frame = ENTITIES.with_columns(label=pl.Series(list("abcde")))
    asked = {"pandas": frame.to_pandas(), "polars": frame, "lazy": frame.lazy(), "arrow": frame.to_arrow()}[kind]
    got = ask(open_store(stats(path)), asked).to_polars()
    assert got.columns == ["driver_id", "event_timestamp", "label", "trips", "name"]
    assert got["label"].to_list() == list("abcde")
    assert got["trips"].to_list() == KNOWN
    assert got["name"].to_list() == ["c", "a", None, "a", "b"]


def test_types_out(open_store: Make, stats: Make, ask: Make) -> None:
    names = ["trips", "name", "rate", "tags", "seen"]
    retrieval = ask(open_store(stats()), features=[f"stats:{name}" for name in names])
    table = retrieval.to_arrow()
    assert dict(zip(table.column_names, map(str, table.schema.types), strict=True)) == {
        "driver_id": "int64", "event_timestamp": "timestamp[us, tz=UTC]", "trips": "int64", "name": "string",
        "rate": "float", "tags": "list<item: string>", "seen": "timestamp[us, tz=UTC]",
    }  # fmt: skip
    assert {column.num_chunks for column in table.columns} == {1}
    assert table["trips"].null_count == 2
    polars = retrieval.to_polars()
    assert (polars.schema["trips"], polars.schema["rate"]) == (pl.Int64, pl.Float32)
    assert list(retrieval.to_df().index) == [0, 1, 2, 3, 4]


def test_known_time_is_configured_by_store_by_view_and_by_call(open_store: Make, stats: Make, ask: Make) -> None:
    store = open_store(stats(), stats(name="other"))

    def answers(store: FeatureStore, **options: Any) -> list[list[Any]]:
        features = ["stats:trips", "other:trips"]
        got = ask(store, features=features, full_feature_names=True, **options).to_polars()
        return [got[name].to_list() for name in ("stats__trips", "other__trips")]

    assert answers(store) == [KNOWN, KNOWN]
    assert answers(open_store(known_time="ignore")) == [ALL, ALL]
    assert answers(open_store(known_time_by_view={"other": "ignore"})) == [KNOWN, ALL]
    assert answers(open_store(known_time="ignore"), filter_by_created_timestamp=True) == [KNOWN, KNOWN]
    assert "'known' (ignore)" in ask(open_store(known_time="ignore")).explain()


def test_feature_service_full_names_and_metadata(open_store: Make, stats: Make, ask: Make) -> None:
    store = open_store(view := stats(), FeatureService(name="svc", features=[view[["rate"]]]))
    asked = ENTITIES.with_columns(label=pl.lit(1))
    retrieval = ask(store, asked, features=store.get_feature_service("svc"), full_feature_names=True)
    assert retrieval.to_polars().columns == ["driver_id", "event_timestamp", "label", "stats__rate"]
    assert retrieval.full_feature_names
    assert retrieval.on_demand_feature_views == []
    assert not retrieval.supports_remote_storage_export()
    metadata = retrieval.metadata
    assert (metadata.features, metadata.keys) == (["stats:rate"], ["driver_id", "label"])
    assert (metadata.min_event_timestamp, metadata.max_event_timestamp) == (T, T + HOUR)


def test_join_key_mapping_joins_one_view_twice(open_store: Make, stats: Make, ask: Make) -> None:
    view = stats()
    sides = [
        view.with_name(side).with_join_key_map({"driver_id": f"{side}_id"})[["trips"]] for side in ("first", "second")
    ]
    store = open_store(view, FeatureService(name="pair", features=sides))
    asked = pl.DataFrame({"first_id": [1, 2], "second_id": [2, 1], "event_timestamp": [T + HOUR] * 2})
    got = ask(store, asked, features=store.get_feature_service("pair"), full_feature_names=True).to_polars()
    assert got.select("first__trips", "second__trips").rows() == [(2, None), (None, 2)]


def test_view_without_entities(open_store: Make, stats: Make, ask: Make) -> None:
    asked = pl.DataFrame({"event_timestamp": [T + HOUR, T - 2 * HOUR, T - 3 * HOUR]})
    got = ask(open_store(stats(keyed=False)), asked).to_polars()
    # Three rows are true since T - 1 h; the one known an hour after T wins the tie once it is known.
    assert got["trips"].to_list() == [2, 1, None]


def test_on_demand_view_is_computed_on_top(open_store: Make, stats: Make, ask: Make) -> None:
    view = stats()

    @on_demand_feature_view(sources=[view], schema=[Field(name="twice", dtype=Float64)])
    def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
        return (inputs[["rate"]] * 2.0).astype("float64").rename(columns={"rate": "twice"})

    with pytest.warns(RuntimeWarning, match="experimental"):
        store = open_store(view, doubled)
    got = ask(store, features=["doubled:twice", "stats:rate"]).to_polars()
    assert got["twice"].to_list()[:2] == [5.0, 1.0]


def test_job_tells_which_rows_were_chosen(open_store: Make, stats: Make, ask: Make) -> None:
    got = ask(open_store(stats()), features=["stats:trips"]).to_polars_with_times()
    assert got.columns[2:] == ["trips", "stats__event_timestamp", "stats__known_timestamp"]
    assert got.row(4)[2:] == (2, T - HOUR, T + HOUR)
    assert got.row(2)[2:] == (None, None, None)


def test_time_column_of_another_name_is_used_and_said(
    open_store: Make, stats: Make, ask: Make, caplog: pytest.LogCaptureFixture
) -> None:
    retrieval = ask(open_store(stats()), ENTITIES.rename({"event_timestamp": "when"}))
    assert retrieval.to_polars()["trips"].to_list() == KNOWN
    assert "'when'" in caplog.text
    assert "entity time: 'when'" in retrieval.explain()


def test_delta_is_read_at_the_version_of_the_job_or_of_the_pin(
    open_store: Make, stats: Make, ask: Make, stats_rows: pl.DataFrame, tmp_path: Path
) -> None:
    store = open_store(stats())
    before = ask(store)
    stats_rows.with_columns(trips=pl.lit(99)).write_delta(tmp_path / "data/stats", mode="overwrite")
    assert before.to_polars()["trips"].to_list() == KNOWN
    assert [read.version for read in before.reads] == [0]
    assert "delta 'data/stats' version 0" in before.explain()
    after = ask(store)
    assert (after.to_polars()["trips"].to_list(), after.reads[0].version) == ([99, 99, None, 99, 99], 1)
    pinned = ask(open_store(table_versions={"data/stats": 0}))
    assert (pinned.to_polars()["trips"].to_list(), pinned.reads[0].version) == (KNOWN, 0)
    store.config.offline_store.table_versions["data/stats"] = 0
    assert ask(store).reads[0].version == 0


@pytest.mark.parametrize("kind", ["delta", "folder", "hive"])
def test_of_equal_rows_in_several_files_the_one_written_last_wins(
    open_store: Make, stats: Make, ask: Make, stats_rows: pl.DataFrame, tmp_path: Path, kind: str
) -> None:
    """Files with disjoint times too, so that pruning by statistics would show a mix-up of files."""
    path, first = tmp_path / "data/many", stats_rows.head(1)
    for number in range(4):
        rows = first.vstack(first.with_columns(event=T + number * HOUR))
        rows = rows.with_columns(trips=pl.lit(number), known=None).cast(stats_rows.schema)
        if kind == "delta":
            rows.write_delta(path, mode="append")
        else:
            folder = path / f"part={number}" if kind == "hive" else path
            folder.mkdir(parents=True, exist_ok=True)
            rows.write_parquet(folder / f"{number}.parquet")
    store = open_store(stats("data/many", ttl=None, delta=kind == "delta"))
    asked = pl.DataFrame({"driver_id": [1] * 5, "event_timestamp": [T - HOUR] + [T + n * HOUR for n in range(4)]})
    assert ask(store, asked).to_polars()["trips"].to_list() == [3, 0, 1, 2, 3]
    for row, expected in enumerate([3, 0, 1, 2, 3]):
        assert ask(store, asked[row : row + 1]).to_polars()["trips"].to_list() == [expected]


def test_hive_partition_column_is_a_feature(
    open_store: Make, stats: Make, ask: Make, stats_rows: pl.DataFrame, tmp_path: Path
) -> None:
    for lost in (2023, 2024):
        folder = tmp_path / f"data/hive/lost={lost}"
        folder.mkdir(parents=True)
        event = pl.lit(datetime(lost, 1, 1, tzinfo=UTC))
        stats_rows.with_columns(event=event, known=event).write_parquet(folder / "0.parquet")
    store = open_store(stats("data/hive", lost=True, delta=False, ttl=None))
    assert ask(store, features=["stats:lost"]).to_polars()["lost"].to_list() == [2024, 2024, None, 2024, 2024]


def test_store_is_configured_in_feature_store_yaml(open_store: Make, stats: Make, ask: Make, tmp_path: Path) -> None:
    open_store(stats())
    (tmp_path / "feature_store.yaml").write_text(
        "project: p\nprovider: local\nregistry: data/registry.db\nentity_key_serialization_version: 3\n"
        "online_store: {type: sqlite, path: data/online.db}\noffline_store:\n"
        "  type: mlops_platform.point_in_time.feast_store.PolarsOfflineStore\n  known_time: ignore\n"
    )
    assert ask(FeatureStore(repo_path=str(tmp_path))).to_polars()["trips"].to_list() == ALL
