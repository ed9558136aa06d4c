"""Our store against Feast's duckdb store over the same Parquet files: where they agree.

Delta tables are left out: duckdb reads them with an extension that it downloads. The places where they differ are in
`test_against_duckdb_differences.py`.
"""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from feast import FeatureService, FeatureStore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_platform_tests.point_in_time.other_stores import (
    HOUR,
    MICRO,
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

LATE = [{"event": at(-2), "x": 1}, {"event": at(-1), "known": at(1), "x": 2}]
Both = Callable[..., tuple[Any, Any]]


@pytest.fixture
def both(tmp_path: Path) -> Both:
    """Asks both stores the same over one view of these facts: our answer, then duckdb's."""

    def ask(rows: pl.DataFrame, asked: Any, *, filtered: bool = False, **options: Any) -> tuple[Any, Any]:
        stores = pair(tmp_path, view_of(rows, tmp_path, **options))
        retrieval: Row = {"filter_by_created_timestamp": True} if filtered else {}
        ours, duckdb = (answers(store, asked.copy(), **retrieval) for store in stores)
        return ours, duckdb

    return ask


def pair(root: Path, *objects: Any) -> tuple[FeatureStore, FeatureStore]:
    return open_store(root, OURS, *objects), open_store(root, "duckdb", *objects)


MICRO_H = MICRO / HOUR
AGREED: dict[str, tuple[list[Row], pd.DataFrame, Row, list[Any]]] = {
    "newest": ([{"event": at(-1), "x": 2}, {"event": at(-2), "x": 1}, {"event": at(1), "x": 3}], moments(0), {}, [2]),
    "inclusive": ([{"event": T, "x": 1}], moments(-MICRO_H, 0, MICRO_H), {}, [None, 1, 1]),
    "ttl": ([{"event": T, "x": 1}], moments(0, 1, 1 + MICRO_H), {"ttl": HOUR}, [1, 1, None]),
    "no ttl": ([{"event": T, "x": 1}], moments(99_999), {}, [1]),
    "ttl zero": ([{"event": T, "x": 1}], moments(99_999), {"ttl": timedelta(0)}, [1]),
    "unmatched": ([{"event": T, "x": 1}], questions({"k": 9}, {"event_timestamp": at(-1)}), {}, [None, None]),
    "duplicates": ([{"event": T, "x": 1}], questions({}, {}, {"k": 2}, {}), {}, [1, 1, None, 1]),
    "null key": ([{"event": T, "x": 1}, {"k": None, "event": T, "x": 2}], questions({"k": None}, {}), {}, [None, 1]),
    "null event": ([{"event": T, "x": 1}, {"event": None, "known": T, "x": 2}], moments(0), {}, [1]),
    "null time": ([{"event": T, "x": 1}], questions({"event_timestamp": None}, {}), {}, [None, 1]),
    "null feature": ([{"event": at(-1), "x": 1}, {"event": T, "x": None}], moments(0), {}, [None]),
    "tie": ([{"event": T, "x": 2}, {"event": T, "known": at(-1), "x": 1}], moments(0), {}, [2]),
    "tie with null": ([{"event": T, "x": 2}, {"event": T, "known": None, "x": 1}], moments(0), {}, [2]),
    "no facts": ([], moments(0), {}, [None]),
    "no questions": ([{"event": T, "x": 1}], moments(0)[:0], {}, []),
    "no keys": ([{"k": 5, "event": T, "x": 1}, {"event": at(-1), "x": 0}], moments(0, -1), {"keyed": False}, [1, 0]),
}
FILTER: Row = {"filtered": True}
AGREED |= {
    "late": (LATE, moments(0, 1 - MICRO_H, 1), FILTER, [1, 1, 2]),
    "corrected": ([{"event": T, "x": 1}, {"event": T, "known": at(1), "x": 2}], moments(0, 1), FILTER, [1, 2]),
    "late and old": (LATE[::-1], moments(1), FILTER | {"ttl": 2 * HOUR}, [2]),
    "visible but old": ([{**LATE[0], "event": at(-3)}, LATE[1]], moments(0), FILTER | {"ttl": 2 * HOUR}, [None]),
}


@pytest.mark.parametrize("case", AGREED)
def test_we_agree(both: Both, case: str) -> None:
    rows, asked, options, expected = AGREED[case]
    ours, duckdb = both(facts(*rows), asked, **options)
    assert ours == duckdb == dict(enumerate(expected))


@pytest.mark.parametrize("form", ["naive", "zone", "text", "date"])
@pytest.mark.parametrize("side", ["entity", "view"])
def test_we_agree_on_forms_of_time(both: Both, form: str, side: str) -> None:
    rows, asked = facts({"event": at(-12), "x": 1}), moments(-12 - MICRO_H, -12, 0)
    if side == "view":
        event = pl.col("event")
        forms = {"naive": event.dt.replace_time_zone(None), "zone": event.dt.convert_time_zone("America/New_York")}
        forms |= {"text": event.dt.to_string("iso"), "date": event.dt.date()}
        rows = rows.with_columns(forms[form])
    else:
        time = asked["event_timestamp"]
        given = {"naive": time.dt.tz_localize(None), "zone": time.dt.tz_convert("America/New_York")}
        given |= {
            "text": time.dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "date": [date(2024, 2, 29), *[date(2024, 3, 1)] * 2],
        }
        asked["event_timestamp"] = given[form]
    ours, duckdb = both(rows, asked)
    assert ours == duckdb == {0: None, 1: 1, 2: 1}


def test_we_agree_on_several_views_full_names_mapped_fields_and_mapped_keys(tmp_path: Path) -> None:
    rows = facts({"event": at(-1), "x": 1}, {"k": 2, "event": at(-1), "x": 2})
    plain = view_of(rows, tmp_path)
    renamed = rows.with_columns(pl.col("x") * 10).rename({"k": "src_k", "event": "src_e", "x": "src_x"})
    mapping = {"src_k": "k", "src_e": "event", "src_x": "x"}
    mapped = view_of(renamed, tmp_path, name="w", ttl=HOUR, field_mapping=mapping)
    sides = [
        view.with_name(f"{view.name}_{side}").with_join_key_map({"k": side})[["x"]]
        for view in (plain, mapped) for side in ("a", "b")
    ]  # fmt: skip
    asked = pd.DataFrame({"row": [0, 1, 2], "a": [1, 2, 1], "b": [2, 9, 1], "event_timestamp": [T, T, at(1)]})
    got = []
    for store in pair(tmp_path, plain, mapped, FeatureService(name="svc", features=sides)):
        service = store.get_feature_service("svc")
        job = store.get_historical_features(asked.copy(), service, full_feature_names=True)
        got.append(pl.DataFrame(pl.from_arrow(job.to_arrow())).sort("row"))
    assert got[0].equals(got[1])
    names = [f"{view}_{side}__x" for view in "vw" for side in "ab"]
    assert got[0].select(names).rows() == [(1, 2, 10, 20), (2, None, 20, None), (1, 1, None, None)]


@pytest.mark.parametrize("kind", ["latest", "all"])
@pytest.mark.parametrize(("start", "end"), [(-1, 0), (-2, -1), (-1 + MICRO_H, -MICRO_H), (5, 6)])
def test_we_agree_on_pulls(tmp_path: Path, kind: str, start: float, end: float) -> None:
    rows = facts(
        {"event": T, "x": 1}, {"event": T, "known": at(-1), "x": 0}, {"event": at(-1), "x": 9},
        {"k": 2, "event": at(-1), "x": 2}, {"k": 2, "event": at(-2), "known": T, "x": None},
    )  # fmt: skip
    view = view_of(rows, tmp_path)
    stores = pair(tmp_path, view)
    ours, duckdb = (pull(store, view, kind, start_date=at(start), end_date=at(end)) for store in stores)
    assert ours.equals(duckdb)
    assert (ours.height > 0) == (start in (-1, -2))


def hours() -> st.SearchStrategy[Any]:
    return st.builds(lambda h, us: at(h) + us * MICRO, st.integers(-3, 3), st.integers(-1, 1))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FeatureStore, FeatureStore]:
    """A repository whose stores treat known time alike: not at all, unless a retrieval asks for it."""
    root = tmp_path_factory.mktemp("shared")
    return root, open_store(root, OURS, known_time="ignore"), open_store(root, "duckdb")


@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "k": st.sampled_from([1, 2, 3, None]),
                "event": st.one_of(hours(), hours(), st.none()),
                "known": st.one_of(hours(), hours(), st.none()),
                "x": st.one_of(st.none(), st.integers(0, 99)),
            }
        ),
        max_size=40,
        unique_by=lambda row: (row["k"], row["event"], row["known"]),
    ),
    asked=st.lists(st.fixed_dictionaries({"k": st.sampled_from([1, 2, 3, 9, None]), "event_timestamp": hours()})),
    ttl=st.sampled_from([None, timedelta(0), HOUR, 2 * HOUR, MICRO]),
    filtered=st.booleans(),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_we_agree_unless_rows_tie_in_full(
    shared: tuple[Path, FeatureStore, FeatureStore], rows: list[Row], asked: list[Row], ttl: Any, filtered: bool
) -> None:
    root, *stores = shared
    kept = facts(*(row for row in rows if not filtered or row["known"]))  # a difference of its own, below
    view = view_of(kept, root, ttl=ttl)
    for store in stores:
        store.apply(view)
    options: Row = {"filter_by_created_timestamp": True} if filtered else {}
    ours, duckdb = (answers(store, questions(*asked), **options) for store in stores)
    assert ours == duckdb
    newest, others = (pull(store, view, "latest").drop_nulls("k").drop("known") for store in stores)
    assert newest.equals(others)
