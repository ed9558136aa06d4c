"""The engine against an oracle written row by row, on small frames full of ties, nulls and late facts."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_platform.point_in_time import ViewFrame, join_as_of, latest
from mlops_platform_tests.point_in_time.oracle import Row, cases, moments, oracle


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
@given(case=cases())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_join_equals_the_oracle(engine: Any, case: tuple[pl.DataFrame, ViewFrame, list[Row], list[Row]]) -> None:
    entities, view, asked, facts = case
    joined = join_as_of(entities.lazy(), [view], event_timestamp="at", with_times=True).collect(engine=engine)
    assert joined.to_dicts() == oracle(asked, facts, view)
    assert joined.schema["value"] == pl.Int32


@given(first=cases(), second=cases())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_views_do_not_disturb_each_other(first: Any, second: Any) -> None:
    """Joining two views at once equals joining each alone."""
    entities, view, _, _ = first
    other = replace(second[1], name="w", keys={}, features={"value": "other"})
    both = join_as_of(entities.lazy(), [view, other], event_timestamp="at").collect()
    alone = [join_as_of(entities.lazy(), [each], event_timestamp="at").collect() for each in (view, other)]
    assert both.equals(pl.concat([alone[0], alone[1].select("other")], how="horizontal"))


@given(case=cases(), ends=st.tuples(moments(), moments()))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_latest_equals_the_oracle(case: Any, ends: tuple[datetime | None, datetime | None]) -> None:
    _, view, _, facts = case
    start, end = ends
    expected: dict[tuple[Any, ...], tuple[Any, Row]] = {}
    for number, fact in enumerate(facts):
        event, key = fact["event"], tuple(fact[key] for key in view.keys)
        if event is None or None in key or (start and event < start) or (end and event > end):
            continue
        rank = (event, fact.get("known") or datetime.min.replace(tzinfo=UTC), number)
        if key not in expected or rank > expected[key][0]:
            expected[key] = (rank, fact)
    got = latest(
        view.frame, name="v", keys=list(view.keys), columns=["value"], event_timestamp="event",
        known_timestamp=view.known_timestamp, start=start, end=end,
    ).collect()  # fmt: skip
    rows = {tuple(row[key] for key in view.keys): row for row in got.to_dicts()}
    assert got.height == len(rows)
    assert rows == {key: fact for key, (_, fact) in expected.items()}
