"""Parts are divided by time, with an embargo, and no label known late slips into an earlier part."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_platform.datasets.split import PARTS, Boundaries, boundaries, divide
from mlops_platform.errors import PlatformError
from mlops_platform.spec import Split

_START = datetime(2024, 1, 1, tzinfo=UTC)


def examples(hours: list[int], delays: list[int]) -> pl.DataFrame:
    event = [_START + timedelta(hours=h) for h in hours]
    known = [e + timedelta(hours=d) for e, d in zip(event, delays, strict=True)]
    return pl.DataFrame({"event_timestamp": event, "label_known_timestamp": known, "label": [0] * len(event)})


def test_the_newest_month_of_the_calendar_is_the_holdout() -> None:
    at = boundaries(Split(), datetime(2013, 7, 31, 20, tzinfo=UTC), "America/New_York")
    assert at.holdout_start == datetime(2013, 7, 1, 4, tzinfo=UTC)
    assert at.holdout_end == datetime(2013, 8, 1, 4, tzinfo=UTC)
    assert at.validation_end == datetime(2013, 6, 30, 4, tzinfo=UTC)
    assert at.validation_start == datetime(2013, 6, 16, 4, tzinfo=UTC)
    assert at.train_end == datetime(2013, 6, 15, 4, tzinfo=UTC)


def test_the_month_with_a_missing_hour_is_a_month() -> None:
    at = boundaries(Split(), datetime(2013, 3, 20, tzinfo=UTC), "America/New_York")
    assert (at.holdout_start.hour, at.holdout_end.hour) == (5, 4)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 24 * 60), st.integers(0, 100)), min_size=1, max_size=80),
    days=st.tuples(st.integers(1, 10), st.integers(1, 10), st.integers(1, 3)),
)
def test_every_row_is_counted_and_nothing_straddles(rows: list[tuple[int, int]], days: tuple[int, int, int]) -> None:
    split = Split(holdout=f"{days[0]}d", validation=f"{days[1]}d", embargo=f"{days[2]}d")
    frame = examples([hour for hour, _ in rows], [delay for _, delay in rows])
    at = boundaries(split, frame["event_timestamp"].max(), "UTC")
    try:
        parts, left_out = divide(frame, at)
    except PlatformError:
        return
    assert sum(part.height for part in parts.values()) + sum(left_out.values()) == frame.height
    embargo = timedelta(days=days[2])
    for earlier, later in pairwise(PARTS):
        begins = {"validation": at.validation_start, "holdout": at.holdout_start}[later]
        assert parts[earlier]["label_known_timestamp"].max() < begins
        assert parts[later]["event_timestamp"].min() - parts[earlier]["event_timestamp"].max() >= embargo


def test_an_empty_part_is_an_error_that_says_which() -> None:
    at = Boundaries(**dict.fromkeys(Boundaries.__dataclass_fields__, _START))
    with pytest.raises(PlatformError, match="none in train, validation"):
        divide(examples([1], [1]), at)
