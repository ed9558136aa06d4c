"""What the engine's random tests meet only by luck."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from mlops_platform.point_in_time import between, join_as_of
from mlops_platform.point_in_time.planning import Plan
from mlops_platform_tests.point_in_time.one_view import T, ask, facts

HOUR = timedelta(hours=1)


@pytest.mark.parametrize("known", [{}, {"known": T}, {"known": None}])
@pytest.mark.parametrize("chunk_rows", [1, 2, 3])
def test_of_equal_rows_in_several_chunks_the_last_of_the_file_wins(known: dict[str, object], chunk_rows: int) -> None:
    view = facts(*({"event": T, "x": x, **known} for x in (3, 1, 2)))
    plan = Plan(way="chunks", chunk_rows=chunk_rows)
    joined = join_as_of(pl.LazyFrame({"k": [1], "at": [T]}), [view], event_timestamp="at", plan=plan)
    assert joined.collect()["x"].to_list() == [2]


@pytest.mark.parametrize("chunk_rows", [1, 2, 3])
@pytest.mark.parametrize("turned", [False, True])
def test_of_ties_in_several_chunks_the_latest_known_wins_and_null_loses(turned: bool, chunk_rows: int) -> None:
    rows: list[dict[str, Any]]
    rows = [{"event": T, "known": T, "x": 2}, {"event": T, "known": T - HOUR, "x": 1}, {"event": T, "known": None}]
    plan = Plan(way="chunks", chunk_rows=chunk_rows)
    view = facts(*(rows[::-1] if turned else rows))
    joined = join_as_of(pl.LazyFrame({"k": [1], "at": [T]}), [view], event_timestamp="at", plan=plan)
    assert joined.collect()["x"].to_list() == [2]


def test_entity_rows_that_are_equal_in_every_column_all_come_back() -> None:
    assert ask(facts({"event": T, "x": 1}), T, T, T - HOUR, T) == [1, 1, None, 1]


def test_null_event_times_are_in_no_range() -> None:
    rows = facts({"event": None, "x": 1}, {"event": T, "x": 2}).frame
    assert between(rows, name="v", columns=["x"], event_timestamp="event").collect()["x"].to_list() == [2]
