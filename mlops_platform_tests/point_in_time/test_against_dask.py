"""Our store against Feast's dask store, its default for files: what it loses, and both answers each time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from feast import FeatureStore
from feast.data_format import DeltaFormat

from mlops_platform_tests.point_in_time.other_stores import (
    HOUR,
    OURS,
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

Both = Callable[..., tuple[Any, Any]]


@pytest.fixture
def both(tmp_path: Path) -> Both:
    """Asks both stores the same over one view of these facts: our answer, then dask's."""

    def ask(rows: pl.DataFrame, asked: Any, **view: Any) -> tuple[Any, Any]:
        ours, dask = (answers(store, asked.copy()) for store in pair(tmp_path, rows, **view))
        return ours, dask

    return ask


def pair(root: Path, rows: pl.DataFrame, **view: Any) -> tuple[FeatureStore, FeatureStore]:
    given = view_of(rows, root, **view)
    return open_store(root, OURS, given), open_store(root, "dask", given)


def test_we_agree_on_distinct_rows_that_all_match(both: Both) -> None:
    rows = facts({"event": at(-1), "x": 1}, {"event": T, "x": 2}, {"k": 2, "event": T, "x": 3})
    asked = questions({"event_timestamp": at(-1)}, {}, {"event_timestamp": at(1)}, {"k": 2})
    ours, dask = both(rows, asked, ttl=HOUR)
    assert ours == dask == {0: 1, 1: 2, 2: 2, 3: 3}


def test_entity_rows_of_one_key_and_time_are_kept_by_us_and_dropped_by_dask(both: Both) -> None:
    """feast#6787."""
    assert both(facts({"event": T, "x": 1}), questions({}, {}, {})) == ({0: 1, 1: 1, 2: 1}, {2: 1})


def test_entity_rows_without_a_valid_fact_are_kept_by_us_and_dropped_by_dask(both: Both) -> None:
    """dask keeps an entity row of an unknown key, and drops one whose facts are all too old or not yet true."""
    asked = questions({"event_timestamp": at(-1)}, {}, {"event_timestamp": at(9)}, {"k": 9})
    assert both(facts({"event": T, "x": 1}), asked, ttl=HOUR) == ({0: None, 1: 1, 2: None, 3: None}, {1: 1, 3: None})


def test_a_late_fact_is_invisible_to_us_and_joined_by_dask(both: Both) -> None:
    rows = facts({"event": at(-2), "x": 1}, {"event": at(-1), "known": at(1), "x": 2})
    assert both(rows, moments(0, 1)) == ({0: 1, 1: 2}, {0: 2, 1: 2})


@pytest.mark.filterwarnings("ignore:Merging dataframes with merge column data type:UserWarning")
def test_null_keys_match_nothing_for_us_and_each_other_for_dask(both: Both) -> None:
    rows = facts({"event": T, "x": 1}, {"k": None, "event": T, "x": 2})
    assert both(rows, questions({}, {"k": None})) == ({0: 1, 1: None}, {0: 1, 1: 2})


def test_ties_go_to_the_latest_created_for_us_and_anywhere_for_dask(both: Both) -> None:
    """dask sorts by created, then by event, and the second sort forgets the first."""
    many = range(100)
    rows = [{"k": k, "event": T, "known": at(-late), "x": late} for k in many for late in (0, 1)]
    ours, dask = both(facts(*rows), questions(*({"k": k} for k in many)))
    assert set(ours.values()) == {0}
    assert set(dask.values()) == {0, 1}


def test_order_and_types_are_kept_by_us_and_not_by_dask(tmp_path: Path) -> None:
    asked = questions({"event_timestamp": at(1)}, {"k": 9}, {})
    ours, dask = (
        store.get_historical_features(asked.copy(), ["v:x"]).to_arrow()
        for store in pair(tmp_path, facts({"event": at(-1), "x": 1}))
    )
    assert (ours["row"].to_pylist(), dask["row"].to_pylist()[0]) == ([0, 1, 2], 1)
    assert (str(ours["x"].type), str(dask["x"].type)) == ("int64", "double")


@pytest.mark.filterwarnings("ignore:Downcasting object dtype arrays:FutureWarning")  # dask, merging partitions
def test_a_delta_table_is_read_by_us_at_its_version_and_by_dask_as_all_its_files(tmp_path: Path) -> None:
    old, new = facts({"event": at(-1), "x": 1}, {"event": T, "x": 2}), facts({"event": at(-1), "x": 3})
    stores = pair(tmp_path, old, path=str(tmp_path / "delta"), file_format=DeltaFormat())
    for rows in (old, new):
        rows.write_delta(tmp_path / "delta", mode="overwrite")
    assert [answers(store, moments(0)) for store in stores] == [{0: 3}, {0: 2}]


def test_pull_latest_takes_the_latest_created_for_us_and_a_null_one_for_dask(tmp_path: Path) -> None:
    rows = facts({"event": T, "x": 1}, {"event": T, "known": None, "x": 2})
    ours, dask = (pull(store, store.get_feature_view("v"), "latest") for store in pair(tmp_path, rows))
    assert (ours["x"].to_list(), dask["x"].to_list()) == ([1], [2])


def test_pull_latest_without_keys_is_one_row_for_us_and_all_for_dask(tmp_path: Path) -> None:
    stores = pair(tmp_path, facts({"event": at(-1), "x": 1}, {"k": 2, "event": T, "x": 2}), keyed=False)
    view = stores[0].get_feature_view("v")
    ours, dask = (pull(store, view, "latest", join_key_columns=[]) for store in stores)
    assert (ours["x"].to_list(), sorted(dask["x"].to_list())) == ([2], [1, 2])
