"""Small frames full of ties, nulls and late facts, and what they answer when every fact is looked at in turn."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import strategies as st

from mlops_platform.point_in_time import ViewFrame

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
