"""Choosing the newest visible candidate, for times and numbers of keys of any size."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_platform.point_in_time.asked import CODE, EVENT, KNOWN, ROW
from mlops_platform.point_in_time.choosing import better, newest_visible

ENDS = {"near": 3, "days": 10**11, "the ends of time": 2**63 - 2}


def times(far: int) -> st.SearchStrategy[int]:
    return st.one_of(st.integers(-far, far), st.sampled_from([-far, -1, 0, 1, far]))


@st.composite
def choices(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[tuple[int | None, int | None]], int]:
    far = ENDS[draw(st.sampled_from(sorted(ENDS)))]
    codes = draw(st.sampled_from([1, 3, 2**32 - 1]))
    code = st.one_of(st.integers(0, min(codes, 4) - 1), st.just(codes - 1))
    row = st.fixed_dictionaries({CODE: code, EVENT: times(far), KNOWN: st.one_of(st.none(), times(far))})
    rows = [{ROW: place, **each} for place, each in enumerate(draw(st.lists(row, max_size=14)))]
    asked = st.tuples(st.one_of(st.none(), code), st.one_of(st.none(), times(far)))
    return rows, draw(st.lists(asked, max_size=14)), codes


def expected(rows: list[dict[str, Any]], code: int | None, at: int | None, respect: bool) -> int | None:
    visible = [
        ((row[EVENT], -(2**63) if row[KNOWN] is None else row[KNOWN], row[ROW]))
        for row in rows
        if code is not None and at is not None and row[CODE] == code and row[EVENT] <= at
        if not respect or row[KNOWN] is None or row[KNOWN] <= at
    ]
    return max(visible)[2] if visible else None


def choose(
    rows: list[dict[str, Any]], asked: list[tuple[int | None, int | None]], codes: int, respect: bool
) -> pl.DataFrame:
    types = {ROW: pl.UInt32, CODE: pl.UInt32, EVENT: pl.Int64, KNOWN: pl.Int64}
    code = pl.Series([code for code, _ in asked], dtype=pl.UInt32)
    at = pl.Series([at for _, at in asked], dtype=pl.Int64)
    return newest_visible(pl.DataFrame(rows, schema=types), code=code, at=at, codes=codes, respect=respect)


@pytest.mark.parametrize("respect", [True, False])
@given(case=choices())
@settings(max_examples=300, deadline=None)
def test_the_newest_visible_row_is_chosen(respect: bool, case: Any) -> None:
    rows, asked, codes = case
    chosen = choose(rows, asked, codes, respect)
    assert chosen[ROW].to_list() == [expected(rows, code, at, respect) for code, at in asked]
    by_row = {row[ROW]: row for row in rows}
    for found in chosen.to_dicts():
        row = by_row.get(found[ROW], {})
        assert (found[EVENT], found[KNOWN]) == (row.get(EVENT), row.get(KNOWN))


@given(case=choices(), cut=st.integers(0, 14))
@settings(max_examples=200, deadline=None)
def test_the_better_of_two_stretches_is_the_choice_of_both(case: Any, cut: int) -> None:
    rows, asked, codes = case
    first, second = (choose(part, asked, codes, True) for part in (rows[:cut], rows[cut:]))
    assert better(first, second).equals(choose(rows, asked, codes, True))


def test_many_needles_are_sorted_first_and_come_back_in_their_order() -> None:
    rows = [{ROW: n, CODE: n % 7, EVENT: n, KNOWN: None} for n in range(100)]
    asked = [((n * 31) % 7, (n * 17) % 120) for n in range(25_000)]
    chosen = choose(rows, asked, 7, True)
    small = choose(rows, asked[:5_000], 7, True)
    assert chosen[:5_000].equals(small)
    assert small[ROW].to_list()[:200] == [expected(rows, code, at, True) for code, at in asked[:200]]
