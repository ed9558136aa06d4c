"""The semantics table of the room, a test for each row."""

import subprocess
import sys
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

import polars as pl
import pytest

from mlops_platform.point_in_time import ViewFrame, between, join_as_of, latest
from mlops_platform.point_in_time.asked import Asked
from mlops_platform.point_in_time.candidates import Candidates
from mlops_platform_tests.point_in_time.one_view import T, ask, facts

HOUR = timedelta(hours=1)
MICRO = timedelta(microseconds=1)


def test_every_entity_row_comes_back_once_and_in_order() -> None:
    entities = pl.DataFrame({"k": [2, 1, 1, 9, 1], "at": [T, T, T, T, T - 5 * HOUR], "label": list("abcde")})
    joined = join_as_of(entities.lazy(), [facts({"event": T, "x": 7})], event_timestamp="at").collect()
    assert joined.columns == ["k", "at", "label", "x"]
    assert joined["label"].to_list() == list("abcde")
    assert joined["x"].to_list() == [None, 7, 7, None, None]


def test_known_time_is_respected_by_default() -> None:
    """The newest visible row, not "the newest row, dropped if it is invisible"."""
    view = facts({"event": T - 2 * HOUR, "known": T - 2 * HOUR, "x": 1}, {"event": T - HOUR, "known": T + HOUR, "x": 2})
    assert ask(view, T, T + HOUR - MICRO, T + HOUR) == [1, 1, 2]


def test_naive_join_would_leak_the_late_fact() -> None:
    """Mutation: the asof join that everyone writes sees a fact recorded an hour after the entity's time."""
    view = facts({"event": T - 2 * HOUR, "known": T - 2 * HOUR, "x": 1}, {"event": T - HOUR, "known": T + HOUR, "x": 2})
    entities = pl.LazyFrame({"k": [1], "at": [T]})
    naive = entities.join_asof(view.frame.sort("event"), left_on="at", right_on="event", by="k", check_sortedness=False)
    assert naive.collect()["x"].to_list() == [2]
    assert ask(view, T) == [1]


def test_known_time_ignore_restores_feasts_habit() -> None:
    rows = [{"event": T - 2 * HOUR, "known": T - 2 * HOUR, "x": 1}, {"event": T - HOUR, "known": T + HOUR, "x": 2}]
    assert ask(facts(*rows, known_time="ignore"), T) == [2]


def test_late_correction_of_an_old_fact_never_hides_a_newer_one() -> None:
    view = facts({"event": T, "known": T, "x": 2}, {"event": T - HOUR, "known": T + HOUR, "x": 1})
    assert ask(view, T + 2 * HOUR) == [2]


def test_correction_of_the_same_fact_is_seen_once_known() -> None:
    view = facts({"event": T, "known": T, "x": 1}, {"event": T, "known": T + HOUR, "x": 2})
    assert ask(view, T, T + HOUR) == [1, 2]


def test_null_known_time_means_always_known() -> None:
    assert ask(facts({"event": T, "known": None, "x": 1}, {"event": T - HOUR, "known": T, "x": 0}), T) == [1]


def test_fact_known_before_it_is_true_is_not_seen_early() -> None:
    assert ask(facts({"event": T, "known": T - HOUR, "x": 1}), T - MICRO, T) == [None, 1]


def test_ttl_is_checked_on_the_newest_visible_row() -> None:
    """A row too old is not replaced by an older one, and a row not yet known does not hide one that is."""
    rows: list[dict[str, Any]]
    rows = [{"event": T - HOUR, "known": T + 9 * HOUR, "x": 2}, {"event": T - 3 * HOUR, "known": None, "x": 1}]
    assert ask(facts(*rows, ttl=2 * HOUR), T, T - HOUR) == [None, 1]


@pytest.mark.parametrize("known_time", ["respect", "ignore"])
def test_event_time_equal_to_entity_time_matches(known_time: Any) -> None:
    view = facts({"event": T, "known": T, "x": 1}, known_time=known_time)
    assert ask(view, T - MICRO, T, T + MICRO) == [None, 1, 1]


def test_age_equal_to_the_ttl_matches() -> None:
    assert ask(facts({"event": T, "x": 1}, ttl=HOUR), T + HOUR, T + HOUR + MICRO) == [1, None]


@pytest.mark.parametrize("ttl", [None, timedelta(0), timedelta.max])
def test_ttl_none_or_zero_is_no_limit(ttl: timedelta | None) -> None:
    assert ask(facts({"event": T, "x": 1}, ttl=ttl), T + timedelta(days=365_000)) == [1]


@pytest.mark.parametrize("known_time", ["respect", "ignore"])
def test_ties_latest_known_wins_and_null_loses(known_time: Any) -> None:
    rows: list[dict[str, Any]]
    rows = [{"event": T, "known": T, "x": 2}, {"event": T, "known": T - HOUR, "x": 1}, {"event": T, "known": None}]
    assert ask(facts(*rows, known_time=known_time), T) == [2]


@pytest.mark.parametrize("known", [{}, {"known": T}, {"known": None}])
def test_full_ties_last_row_of_the_file_wins(known: dict[str, Any]) -> None:
    assert ask(facts(*({"event": T, "x": x, **known} for x in (3, 1, 2))), T) == [2]


def test_null_feature_of_the_newest_row_stays_null() -> None:
    assert ask(facts({"event": T - HOUR, "x": 1}, {"event": T, "x": None}), T) == [None]


def test_null_event_time_is_ignored() -> None:
    assert ask(facts({"event": T, "x": 1}, {"event": None, "x": 2}), T) == [1]


def test_null_key_matches_nothing() -> None:
    view = facts({"event": T, "x": 1}, {"k": None, "event": T, "x": 2})
    assert ask(view, T, key=pl.Series([None], dtype=pl.Int64)[0]) == [None]
    assert ask(view, T) == [1]


def test_half_null_composite_key_matches_nothing() -> None:
    rows = pl.LazyFrame({"a": [1, 1], "b": ["x", None], "event": [T, T], "x": [1, 2]})
    view = ViewFrame(name="v", frame=rows, keys={"a": "a", "b": "b"}, features={"x": "x"}, event_timestamp="event")
    entities = pl.LazyFrame({"a": [1, 1], "b": [None, "x"], "at": [T, T]})
    assert join_as_of(entities, [view], event_timestamp="at").collect()["x"].to_list() == [None, 1]


def test_null_entity_time_matches_nothing() -> None:
    assert ask(facts({"event": T, "x": 1}, ttl=HOUR), None, T) == [None, 1]


@pytest.mark.parametrize(
    "moment",
    [
        T.replace(tzinfo=None),
        T.astimezone(timezone(timedelta(hours=5, minutes=30))),
        "2024-03-01 12:00:00",
        "2024-03-01T12:00",
        "2024-03-01T12:00:00.000000Z",
        "2024-03-01 12:00:00 UTC",
        "2024-03-01T07:00:00-05:00",
        " 2024-03-01 17:30:00.000000+0530",
    ],
    ids=str,
)
@pytest.mark.parametrize("side", ["entity", "view"])
def test_naive_times_zones_and_text_all_mean_the_same_moment(moment: Any, side: str) -> None:
    asked, event = (moment, T) if side == "entity" else (T, moment)
    late = asked - MICRO if isinstance(asked, datetime) else None
    assert ask(facts({"event": event, "x": 1}), asked) == [1]
    assert late is None or ask(facts({"event": event, "x": 1}), late) == [None]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_units_and_zones_of_columns_are_converted(unit: Any, zone: str | None) -> None:
    series = pl.Series([T]).cast(pl.Datetime(unit, "UTC"))
    stored = series.dt.replace_time_zone(None) if zone is None else series.dt.convert_time_zone(zone)
    view = facts({"event": T, "x": 1})
    view = replace(view, frame=view.frame.with_columns(stored.alias("event")))
    entities = pl.LazyFrame({"k": [1, 1], "at": [T, T - MICRO]})
    joined = join_as_of(entities, [view], event_timestamp="at", with_times=True).collect()
    assert joined.select("x", "v__event_timestamp").rows() == [(1, T), (None, None)]


def test_dates_mean_midnight_utc() -> None:
    assert ask(facts({"event": date(2024, 3, 1), "x": 1}), T.replace(hour=0), T.replace(hour=0) - MICRO) == [1, None]


def test_view_without_keys_joins_its_newest_row() -> None:
    view = facts({"event": T, "x": 1}, {"k": 5, "event": T + HOUR, "x": 2}, keys={})
    assert ask(view, T - HOUR, T, T + HOUR, None) == [None, 1, 2, None]


def test_two_views_with_other_keys_and_one_view_twice() -> None:
    rows = pl.LazyFrame({"city": ["a", "b"], "event": [T, T], "x": [1, 2]})
    views = [
        ViewFrame(name=side, frame=rows, keys={side: "city"}, features={"x": f"{side}_x"}, event_timestamp="event")
        for side in ("origin", "target")
    ]
    entities = pl.LazyFrame({"origin": ["b", "a"], "target": ["a", "z"], "at": [T, T]})
    joined = join_as_of(entities, views, event_timestamp="at").collect()
    assert joined.select("origin_x", "target_x").rows() == [(2, 1), (1, None)]


def test_types_are_as_stored() -> None:
    columns: dict[str, Any] = {"i": pl.Int16, "f": pl.Float32, "s": pl.String, "b": pl.Boolean, "d": pl.Date}
    columns["l"] = pl.List(pl.Int32)
    nulls = [pl.lit(None, dtype).alias(name) for name, dtype in columns.items()]
    view = facts({"event": T, "x": 1}, ttl=HOUR)
    view = replace(view, frame=view.frame.with_columns(nulls), features={name: name for name in columns})
    joined = join_as_of(pl.LazyFrame({"k": [1, 2], "at": [T, T]}), [view], event_timestamp="at").collect()
    assert {name: joined.schema[name] for name in columns} == columns
    assert joined.schema["at"] == pl.Datetime("us", "UTC")


def test_with_times_tells_which_row_was_chosen() -> None:
    view = facts({"event": T, "known": T + HOUR, "x": 1}, ttl=2 * HOUR)
    entities = pl.LazyFrame({"k": [1, 1, 1], "at": [T + HOUR, T, T + 3 * HOUR]})
    joined = join_as_of(entities, [view], event_timestamp="at", with_times=True).collect()
    assert joined.columns == ["k", "at", "x", "v__event_timestamp", "v__known_timestamp"]
    assert joined.select(pl.col("^v__.*$")).rows() == [(T, T + HOUR), (None, None), (None, None)]
    assert set(joined.schema.dtypes()[1:2] + joined.schema.dtypes()[3:]) == {pl.Datetime("us", "UTC")}


@pytest.mark.parametrize("stored", [pl.Int8, pl.Int32, pl.Int64, pl.UInt16, pl.UInt64])
def test_integer_keys_of_other_widths_compare_by_value(stored: Any) -> None:
    view = facts({"event": T, "x": 1})
    view = replace(view, frame=view.frame.with_columns(pl.col("k").cast(stored)))
    assert ask(view, T) == [1]
    assert ask(view, T, key=2**40) == [None]


def test_empty_frames() -> None:
    empty = pl.LazyFrame(schema={"k": pl.Int64, "event": pl.Datetime("us"), "known": pl.Datetime("us"), "x": pl.Int8})
    view = replace(facts({"event": T, "known": T, "x": 1}), frame=empty)
    assert ask(view, T) == [None]
    nobody = pl.LazyFrame(schema={"k": pl.Int64, "at": pl.Datetime("us")})
    assert join_as_of(nobody, [view], event_timestamp="at").collect().shape == (0, 3)


def test_between_includes_both_ends_and_keeps_order_and_null_keys() -> None:
    view = facts(*({"k": k, "event": T + n * HOUR, "x": n} for n, k in ((2, 1), (0, None), (1, 1), (3, 1), (-1, 1))))
    rows = between(view.frame, name="v", columns=["x"], event_timestamp="event", start=T, end=T + 2 * HOUR).collect()
    assert rows["x"].to_list() == [2, 0, 1]
    assert rows.schema["event"] == pl.Datetime("us", "UTC")
    assert between(view.frame, name="v", columns=[], event_timestamp="event").collect().columns == ["k", "event", "x"]


def test_latest_is_one_row_per_key() -> None:
    view = facts(*({"k": k, "event": T, "known": known, "x": n} for n, (k, known) in enumerate(
        [(1, T), (1, T + HOUR), (1, None), (2, None), (2, None), (None, T)])))  # fmt: skip
    rows = latest(
        view.frame, name="v", keys=["k"], columns=["x"], event_timestamp="event", known_timestamp="known", end=T
    ).collect()
    assert dict(rows.select("k", "x").rows()) == {1: 1, 2: 4}


def test_rows_and_keys_that_cannot_answer_are_left_out() -> None:
    view = facts(*({"k": k, "event": T - n * HOUR, "x": n} for k in (1, 2) for n in range(-2, 5)), ttl=2 * HOUR)
    asked = Asked.of(pl.DataFrame({"k": [2, 2], "at": [T, T]}), "at")
    types = {"k": pl.Int64()}
    candidates = Candidates(view=view, types=types, asked=asked, keyed=asked.keyed(types))
    for push_keys in (True, False):
        rows = candidates.read(features=True, push_keys=push_keys)
        assert rows.collect()["x"].to_list() == [0, 1, 2] * (1 if push_keys else 2)
        assert candidates.numbered(rows).collect().height == 3


def test_importing_the_room_is_light() -> None:
    code = (
        "import sys, mlops_platform.point_in_time\n"
        "print(sorted({'feast', 'pandas', 'dagster', 'pyarrow', 'deltalake'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
