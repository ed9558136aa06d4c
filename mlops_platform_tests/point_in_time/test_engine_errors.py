"""What the engine refuses: each error names the view, the column, what was found, and the remedy."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from mlops_platform.point_in_time import PointInTimeError, ViewFrame, join_as_of
from mlops_platform_tests.point_in_time.one_view import T, ask, facts


def test_text_that_is_no_time_is_an_error() -> None:
    with pytest.raises(pl.exceptions.InvalidOperationError):
        ask(facts({"event": T, "x": 1}), "yesterday")


def test_text_key_against_integer_key_is_an_error() -> None:
    with pytest.raises(PointInTimeError, match=r"view 'v': the key 'k' is String .* 'k' is Int64 .*cast\(pl.Int64\)"):
        ask(facts({"event": T, "x": 1}), T, key="1")


def test_missing_key_column_is_an_error() -> None:
    with pytest.raises(PointInTimeError, match=r"view 'v', entity frame: no column 'k'; found at: .*join-key mapping"):
        join_as_of(pl.LazyFrame({"at": [T]}), [facts({"event": T, "x": 1})], event_timestamp="at")


@pytest.mark.parametrize("lost", ["k", "event", "known", "x"])
def test_lost_column_is_an_error(lost: str) -> None:
    view = facts({"event": T, "known": T, "x": 1})
    view = replace(view, frame=view.frame.drop(lost))
    with pytest.raises(PointInTimeError, match=rf"view 'v': no column '{lost}'; found .*correct the source"):
        ask(view, T)


def test_numbers_as_times_are_an_error() -> None:
    with pytest.raises(PointInTimeError, match=r"view 'v': the time column 'event' is of type Int64.*from_epoch"):
        ask(facts({"event": 1_700_000_000, "x": 1}), T)
    with pytest.raises(PointInTimeError, match=r"entity frame: the time column 'at' is of type Float64"):
        ask(facts({"event": T, "x": 1}), 1.5)


def test_missing_file_is_an_error(tmp_path: Any) -> None:
    view = ViewFrame(
        name="v", frame=pl.scan_parquet(tmp_path / "none.parquet"), keys={}, features={}, event_timestamp="event"
    )
    with pytest.raises(PointInTimeError, match=r"view 'v': its rows cannot be opened.*none.parquet"):
        ask(view, T)


def test_name_used_twice_is_an_error() -> None:
    view = facts({"event": T, "x": 1})
    with pytest.raises(PointInTimeError, match=r"'x' is already given by view 'v'.*full feature names"):
        join_as_of(pl.LazyFrame({"k": [1], "at": [T]}), [view, view], event_timestamp="at")
    with pytest.raises(PointInTimeError, match=r"'x' is already given by the entity frame"):
        join_as_of(pl.LazyFrame({"k": [1], "at": [T], "x": [0]}), [view], event_timestamp="at")


def test_unknown_known_time_is_an_error() -> None:
    with pytest.raises(PointInTimeError, match="known_time is 'respect' or 'ignore', not 'maybe'"):
        facts({"event": T, "x": 1}, known_time="maybe")


@pytest.mark.parametrize("name", ["__pit_row", "__pit_key_0", "__pit_event"])
def test_names_that_the_join_uses_are_an_error(name: str) -> None:
    view = facts({"event": T, "x": 1})
    asked = pl.LazyFrame({"k": [1], "at": [T]})
    with pytest.raises(PointInTimeError, match=f"names that begin with '__pit_' are used by the join.*{name}"):
        join_as_of(asked.with_columns(pl.lit(1).alias(name)), [view], event_timestamp="at")
    with pytest.raises(PointInTimeError, match=f"names that begin with '__pit_' are used by the join.*{name}"):
        join_as_of(asked, [replace(view, features={"x": name})], event_timestamp="at")
    with pytest.raises(PointInTimeError, match=f"names that begin with '__pit_' are used by the join.*{name}"):
        join_as_of(asked, [replace(view, frame=view.frame.with_columns(pl.lit(1).alias(name)))], event_timestamp="at")


def test_a_negative_ttl_is_an_error() -> None:
    with pytest.raises(PointInTimeError, match="required is a ttl of zero or more, or None; found -1 day"):
        facts({"event": T, "x": 1}, ttl=timedelta(days=-1))
