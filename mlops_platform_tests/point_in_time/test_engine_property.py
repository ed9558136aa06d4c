"""The engine against an oracle written row by row, on small frames full of ties, nulls and late facts."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_platform.point_in_time import ViewFrame, join_as_of, latest, pruned

START = datetime(2024, 3, 1, tzinfo=UTC)
Row = dict[str, Any]

# Few distinct values, so that ties and repeated keys are the rule; one step is a microsecond or an hour.
KEY_TYPES: dict[str, tuple[Any, list[Any]]] = {
    "integer": (pl.Int64, [1, 2, -(2**62)]),
    "narrow": (pl.Int16, [1, 2, 3]),
    "unsigned": (pl.UInt64, [1, 2, 2**64 - 1]),
    "text": (pl.String, ["a", "", "ä long text key that does not fit inline"]),
    "date": (pl.Date, [date(2024, 1, 1), date(1969, 12, 31)]),
    "truth": (pl.Boolean, [True, False]),
    "bytes": (pl.Binary, [b"a", b""]),
}


def moments() -> st.SearchStrategy[datetime | None]:
    steps = st.builds(lambda h, us: timedelta(hours=h, microseconds=us), st.integers(-3, 6), st.integers(-1, 1))
    return st.one_of(st.none(), steps.map(lambda step: START + step), steps.map(lambda step: START + step))


@st.composite
def cases(draw: st.DrawFn) -> tuple[pl.DataFrame, ViewFrame, list[Row], list[Row]]:
    kinds = draw(st.lists(st.sampled_from(sorted(KEY_TYPES)), max_size=3))
    keys = {f"k{i}": st.sampled_from([*KEY_TYPES[kind][1], None]) for i, kind in enumerate(kinds)}
    key_schema = {f"k{i}": KEY_TYPES[kind][0] for i, kind in enumerate(kinds)}
    asked = draw(st.lists(st.fixed_dictionaries({**keys, "at": moments()}), max_size=12))
    known = draw(st.booleans())
    fact = {**keys, "event": moments(), "value": st.one_of(st.none(), st.integers(0, 99))}
    facts = draw(st.lists(st.fixed_dictionaries({**fact, "known": moments()} if known else fact), max_size=16))
    utc = pl.Datetime("us", "UTC")
    times: dict[str, Any] = {"event": utc, "value": pl.Int32} | ({"known": utc} if known else {})
    view = ViewFrame(
        name="v", frame=pl.DataFrame(facts, schema={**key_schema, **times}).lazy(),
        keys={key: key for key in keys}, features={"value": "value"}, event_timestamp="event",
        known_timestamp="known" if known else None, known_time=draw(st.sampled_from(["respect", "ignore"])),
        ttl=draw(st.sampled_from([None, timedelta(0), timedelta(hours=2), timedelta(microseconds=1), timedelta.max])),
    )  # fmt: skip
    return pl.DataFrame(asked, schema={**key_schema, "at": utc}), view, asked, facts


def oracle(asked: Sequence[Row], facts: Sequence[Row], view: ViewFrame) -> list[Row]:
    """Answer each question by looking at every fact in turn."""
    answers = []
    for question in asked:
        best: tuple[tuple[datetime, datetime, int], Row] | None = None
        for number, fact in enumerate(facts):
            known, at, event = fact.get("known"), question["at"], fact["event"]
            if at is None or event is None or event > at:
                continue
            if any(fact[key] is None or fact[key] != question[key] for key in view.keys):
                continue
            if view.known_time == "respect" and known is not None and known > at:
                continue
            rank = (event, known or datetime.min.replace(tzinfo=UTC), number)
            if best is None or rank > best[0]:
                best = (rank, fact)
        chosen = best[1] if best else None
        if chosen and view.ttl and question["at"] - chosen["event"] > view.ttl:
            chosen = None
        times = {"v__event_timestamp": "event", "v__known_timestamp": "known"}
        answers.append(
            {**question, "value": chosen and chosen["value"]}
            | {column: chosen and chosen.get(source) for column, source in times.items()}
        )
    return answers


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
@given(case=cases())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_join_equals_the_oracle(engine: Any, case: tuple[pl.DataFrame, ViewFrame, list[Row], list[Row]]) -> None:
    entities, view, asked, facts = case
    joined = join_as_of(entities.lazy(), [view], event_timestamp="at", with_times=True).collect(engine=engine)
    assert joined.to_dicts() == oracle(asked, facts, view)
    assert joined.schema["value"] == pl.Int32


@given(case=cases(), few=st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_pruning_changes_no_answer(case: tuple[pl.DataFrame, ViewFrame, list[Row], list[Row]], few: bool) -> None:
    entities, view, asked, facts = case
    times = [row["at"] for row in asked if row["at"] is not None]
    less = pruned(
        view, earliest=min(times, default=None), latest=max(times, default=None),
        entities=entities.lazy() if few else None,
    )  # fmt: skip
    joined = join_as_of(entities.lazy(), [less], event_timestamp="at", with_times=True).collect()
    assert joined.to_dicts() == oracle(asked, facts, view)


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
