"""Where our store and Feast's duckdb store answer differently over the same Parquet files: both answers, each time."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import ibis  # type: ignore[import-untyped]
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from feast import FeatureStore
from feast.feature_view import DUMMY_ENTITY_ID

from mlops_platform.point_in_time import PointInTimeError
from mlops_platform_tests.point_in_time.other_stores import (
    OURS,
    Row,
    T,
    answers,
    at,
    facts,
    moments,
    open_store,
    pull,
    questions,
    view_of,
)

# ibis, on the duckdb of today.
pytestmark = pytest.mark.filterwarnings(r"ignore:fetch_arrow_table\(\) is deprecated:DeprecationWarning")

LATE = facts({"event": at(-2), "x": 1}, {"event": at(-1), "known": at(1), "x": 2})
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Both = Callable[..., tuple[FeatureStore, FeatureStore]]


@pytest.fixture
def both(tmp_path: Path) -> Both:
    """Opens our store and duckdb's over one view of these facts."""

    def open_(rows: pl.DataFrame, *, config: Row | None = None, **view: Any) -> tuple[FeatureStore, FeatureStore]:
        given = view_of(rows, tmp_path, **view)
        return open_store(tmp_path, OURS, given, **(config or {})), open_store(tmp_path, "duckdb", given)

    return open_


def asked_of(stores: tuple[FeatureStore, FeatureStore], asked: Any, **options: Any) -> tuple[Any, Any]:
    ours, duckdb = (answers(store, asked.copy(), **options) for store in stores)
    return ours, duckdb


def pulled(stores: tuple[FeatureStore, FeatureStore], kind: str, **options: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    ours, duckdb = (pull(store, store.get_feature_view("v"), kind, **options) for store in stores)
    return ours, duckdb


def test_a_late_fact_is_invisible_to_us_and_joined_by_duckdb(both: Both) -> None:
    assert asked_of(both(LATE), moments(0, 1)) == ({0: 1, 1: 2}, {0: 2, 1: 2})
    assert asked_of(both(LATE, config={"known_time": "ignore"}), moments(0, 1)) == ({0: 2, 1: 2}, {0: 2, 1: 2})
    assert asked_of(both(LATE), moments(0, 1), filter_by_created_timestamp=True) == ({0: 1, 1: 2}, {0: 1, 1: 2})


def test_a_fact_without_created_is_visible_to_us_and_filtered_out_by_duckdb(both: Both) -> None:
    stores = both(facts({"event": at(-1), "known": None, "x": 1}))
    assert asked_of(stores, moments(0), filter_by_created_timestamp=True) == ({0: 1}, {0: None})


@pytest.mark.parametrize("created", ["known", None])
@pytest.mark.parametrize("values", [(3, 1, 2), (2, 1, 3)])
def test_of_rows_that_tie_in_full_the_last_of_the_file_is_ours_and_any_is_duckdbs(
    both: Both, created: str | None, values: tuple[int, ...]
) -> None:
    stores = both(facts(*({"event": T, "x": x} for x in values)), created=created)
    ours, duckdb = asked_of(stores, moments(0))
    assert ours == {0: values[-1]}
    assert duckdb[0] in values  # it sorts by nothing else: mostly the first, and with many rows any


def test_order_of_entity_rows_is_kept_by_us_and_not_by_duckdb(both: Both) -> None:
    many = 200_000
    asked = pd.DataFrame({"row": range(many), "k": [1, 2] * (many // 2)})
    asked["event_timestamp"] = pd.date_range(T, periods=many, freq="us").as_unit("us")
    ibis.get_backend().raw_sql("SET threads = 4")  # on one thread it happens to keep it
    stores = both(facts({"event": T, "x": 1}, {"k": 2, "event": T, "x": 2}))
    ours, duckdb = (store.get_historical_features(asked.copy(), ["v:x"]).to_arrow()["row"] for store in stores)
    assert ours.to_pylist() == list(range(many)) != duckdb.to_pylist()
    assert sorted(duckdb.to_pylist()) == list(range(many))


def test_float_keys_are_refused_by_us_and_matched_with_their_neighbours_by_duckdb(both: Both) -> None:
    """Of integer keys with a gap pandas makes floats; beyond 2**53 two keys are one float."""
    stores = both(facts({"k": 2**53 + 1, "event": T, "x": 1}))
    asked = questions({"k": 2**53}).assign(k=[float(2**53)])
    with pytest.raises(PointInTimeError, match="'k' is Float64 in the entity frame but 'k' is Int64"):
        answers(stores[0], asked)
    assert answers(stores[1], asked) == {0: 1}


@pytest.mark.parametrize("kind", ["polars", "arrow"])
def test_other_frames_than_pandas_are_read_by_us_only(both: Both, kind: str) -> None:
    stores = both(facts({"event": T, "x": 1}))
    frame = pl.from_pandas(moments(0))
    asked = frame if kind == "polars" else frame.to_arrow()
    assert answers(stores[0], asked) == {0: 1}
    with pytest.raises(AttributeError):
        answers(stores[1], asked)


def test_text_times_of_several_forms_are_read_by_us_only(both: Both) -> None:
    stores = both(facts({"event": T, "x": 1}))
    asked = moments(0, 0).assign(event_timestamp=["2024-03-01 12:00:00", "2024-03-01T13:00:00+01:00"])
    assert answers(stores[0], asked.copy()) == {0: 1, 1: 1}
    with pytest.raises(ValueError, match="doesn't match format"):
        answers(stores[1], asked.copy())


@pytest.mark.filterwarnings("ignore:Discarding nonzero nanoseconds:UserWarning")  # Feast, on the entity times
def test_nanoseconds_are_cut_off_by_us_and_refused_by_duckdb(both: Both) -> None:
    rows = facts({"event": T, "x": 1})
    finer = pl.col("event").cast(pl.Datetime("ns", "UTC")) + pl.duration(nanoseconds=1)
    stores = both(rows.with_columns(finer))
    assert asked_of(stores, moments(0)) == ({0: 1}, {0: 1})
    asked = moments(0)
    asked["event_timestamp"] = asked["event_timestamp"].astype("datetime64[ns, UTC]") - pd.Timedelta(1, "ns")
    assert answers(stores[0], asked) == {0: None}
    with pytest.raises(pa.ArrowInvalid, match="would lose data"):
        answers(stores[1], asked)
    assert pull(stores[0], stores[0].get_feature_view("v"), "all")["event"].to_list() == [T]
    with pytest.raises(duckdb.ConversionException, match="TIMESTAMPTZ_NS"):
        pull(stores[1], stores[1].get_feature_view("v"), "all")


@pytest.mark.parametrize("name", ["x_y", "delay_y"])
def test_a_feature_whose_name_ends_in_y_is_given_by_us_and_lost_by_duckdb(both: Both, name: str) -> None:
    """Feast's join calls its second table's columns so, and drops them."""
    stores = both(facts({"event": T, "x": 1}).rename({"x": name}), features=(name,))
    assert answers(stores[0], moments(0), column=name, features=[f"v:{name}"]) == {0: 1}
    with pytest.raises(ibis.common.exceptions.IbisTypeError, match=f"'{name}' is not found"):
        answers(stores[1], moments(0), column=name, features=[f"v:{name}"])


def test_an_entity_column_named_like_feasts_own_is_kept_by_us_and_lost_by_duckdb(both: Both) -> None:
    stores = both(facts({"event": T, "x": 1}))
    asked = moments(0).assign(entity_row_id=7)
    ours, others = (store.get_historical_features(asked.copy(), ["v:x"]).to_arrow().column_names for store in stores)
    assert ours == ["k", "event_timestamp", "row", "entity_row_id", "x"]
    assert others == ["k", "event_timestamp", "row", "x"]


def test_a_relative_path_is_below_the_repository_for_us_and_below_the_process_for_duckdb(both: Both) -> None:
    stores = both(facts({"event": T, "x": 1}), path="v.parquet")
    assert answers(stores[0], moments(0)) == {0: 1}
    with pytest.raises(duckdb.IOException, match=r"No files found .*v\.parquet"):
        answers(stores[1], moments(0))


def test_a_folder_of_parquet_without_a_format_is_read_by_us_only(both: Both, tmp_path: Path) -> None:
    stores = both(facts({"event": T, "x": 1}), path=str(tmp_path / "many"))
    (tmp_path / "many").mkdir()
    facts({"event": T, "x": 1}).write_parquet(tmp_path / "many/0.parquet")
    assert answers(stores[0], moments(0)) == {0: 1}
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'mutate'"):
        answers(stores[1], moments(0))


def test_pulls_leave_out_null_keys_for_us_and_take_them_for_one_key_for_duckdb(both: Both) -> None:
    stores = both(facts({"event": T, "x": 1}, {"k": None, "event": T, "x": 2}, {"k": None, "event": at(-1), "x": 3}))
    ours, duckdb = pulled(stores, "latest")
    assert (ours["x"].to_list(), duckdb.sort("x")["x"].to_list()) == ([1], [1, 2])


def test_null_created_is_pulled_as_1970_by_us_and_as_null_by_duckdb(both: Both) -> None:
    """Feast's online stores cannot write a null there."""
    stores = both(facts({"event": T, "known": None, "x": 1}))
    for kind in ("latest", "all"):
        ours, duckdb = pulled(stores, kind)
        assert (ours["known"].to_list(), duckdb["known"].to_list()) == ([EPOCH], [None])


def test_pulls_without_an_end_are_answered_by_us_and_not_by_duckdb(both: Both) -> None:
    stores = both(facts({"event": T, "x": 1}, {"k": 2, "event": None, "known": T, "x": 2}))
    open_ends: Row = {"start_date": None, "end_date": None}
    ours, duckdb = pulled(stores, "all", **open_ends)
    assert (ours["x"].to_list(), duckdb["x"].to_list()) == ([1], [1, 2])  # a null event time is in no range
    assert pull(stores[0], stores[0].get_feature_view("v"), "latest", **open_ends)["x"].to_list() == [1]
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'astimezone'"):
        pull(stores[1], stores[1].get_feature_view("v"), "latest", **open_ends)


def test_no_columns_named_means_all_to_us_and_none_to_duckdb(both: Both) -> None:
    ours, duckdb = pulled(both(facts({"event": T, "x": 1})), "all", feature_name_columns=[])
    assert (set(ours.columns), set(duckdb.columns)) == ({"k", "event", "known", "x"}, {"k", "event", "known"})


def test_a_view_without_entities_is_materialised_by_us_only(both: Both) -> None:
    stores = both(facts({"event": at(-1), "x": 1}, {"k": 2, "event": T, "x": 2}), keyed=False)
    for store in stores:
        store.config.materialization_config.pull_latest_features = True
    stores[0].materialize(at(-2), T)
    assert stores[0].get_online_features(["v:x"], [{DUMMY_ENTITY_ID: ""}]).to_dict()["x"] == [2]
    with pytest.raises(ValueError, match=f"{DUMMY_ENTITY_ID} not found"):
        stores[1].materialize(at(-2), T)
