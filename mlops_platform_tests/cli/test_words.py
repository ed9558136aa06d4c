"""How numbers, times and names are written."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_platform.cli.words import ranges, station_name, value, when


@pytest.mark.parametrize(
    ("numbers", "most", "said"),
    [
        ([], None, ""), ([4], None, "4"), ([3, 4, 5, 9, 12, 13], None, "3-5, 9, 12-13"),
        ([3, 4, 5, 9, 12, 13], 2, "3-5, 9 and 2 more"), ([1, 3, 5], 3, "1, 3, 5"),
    ],
)  # fmt: skip
def test_neighbours_are_joined(numbers: list[int], most: int | None, said: str) -> None:
    assert ranges(numbers, most=most) == said


@given(st.sets(st.integers(0, 60)))
def test_ranges_name_every_number_once(numbers: set[int]) -> None:
    told = [part.split("-") for part in ranges(sorted(numbers)).split(", ") if part]
    named = [number for part in told for number in range(int(part[0]), int(part[-1]) + 1)]
    assert named == sorted(numbers)


def test_times_are_told_in_utc() -> None:
    assert when(datetime(2013, 7, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))) == "2013-06-30 23:30"
    assert when("2013-06-30T23:30:59+00:00") == when(datetime(2013, 6, 30, 23, 30, tzinfo=UTC)) == "2013-06-30 23:30"
    assert when(None) == "never"


@pytest.mark.parametrize(("found", "said"), [(None, "null"), (0.123456, "0.1235"), (3, "3"), ("N14228", "N14228")])
def test_values_are_short(found: object, said: str) -> None:
    assert value(found) == said


def test_a_station_is_told_without_its_project() -> None:
    assert station_name("flights/flight_delay/dataset") == "flight_delay/dataset"
