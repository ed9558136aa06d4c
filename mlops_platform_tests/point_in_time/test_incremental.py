"""A longer entity frame is answered by joining its new rows only, and equals the join of all of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_platform.point_in_time import PointInTimeError, ViewFrame, extended, join_as_of

START = datetime(2024, 3, 1, tzinfo=UTC)
SCHEMA = {"id": pl.Int64, "k": pl.String, "n": pl.Int64, "at": pl.Datetime("us", "UTC")}
ON = ["k", "n", "at"]

# Few keys and times, so that rows occur more than once, and nulls are among them.
TIMES = st.one_of(st.none(), st.integers(0, 4).map(lambda hours: START + timedelta(hours=hours)))
ROWS = st.lists(
    st.fixed_dictionaries({"k": st.sampled_from(["a", "b", None]), "n": st.sampled_from([1, None]), "at": TIMES}),
    max_size=12,
)
FACTS = st.lists(
    st.fixed_dictionaries({"k": st.sampled_from(["a", "b", None]), "n": st.sampled_from([1, 2]), "event": TIMES,
                           "x": st.sampled_from([0.0, -0.0, float("nan"), 2.5, None])}),
    max_size=12,
)  # fmt: skip


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame([{"id": number, **row} for number, row in enumerate(rows)], schema=SCHEMA)


def view(rows: list[dict[str, Any]]) -> ViewFrame:
    schema = {"k": pl.String, "n": pl.Int64, "event": pl.Datetime("us", "UTC"), "x": pl.Float64}
    facts = pl.DataFrame(rows, schema=schema).lazy()
    keys = {"k": "k", "n": "n"}
    return ViewFrame(name="v", frame=facts, keys=keys, features={"x": "x"}, event_timestamp="event")


@given(facts=FACTS, asked=ROWS, before=ROWS, data=st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_it_equals_the_full_join(facts: list, asked: list, before: list, data: st.DataObject) -> None:
    """Whatever of the frame was answered before, in whatever order and beside whatever else."""
    entities, seen = frame(asked), []

    def join(rows: pl.DataFrame) -> pl.DataFrame:
        seen.append(rows)
        return join_as_of(rows.lazy(), [view(facts)], event_timestamp="at").collect()

    again = data.draw(st.lists(st.sampled_from(asked), max_size=8)) if asked else []
    earlier = join(frame([*before, *again])).drop("id")
    found = extended(earlier, entities, on=ON, join=join)
    assert found.rows.equals(join(entities), null_equal=True) and found.rows.schema == join(entities).schema
    known = {tuple(row[name] for name in ON) for row in [*before, *again]}
    new = [number for number, row in enumerate(asked) if tuple(row[name] for name in ON) not in known]
    assert seen[1]["id"].to_list() == new
    assert (found.joined, found.reused) == (len(new), len(asked) - len(new))


ENTITIES = frame([{"k": "a", "n": 1, "at": START}])
EARLIER = ENTITIES.drop("id").with_columns(x=pl.lit(1.0))


def answered(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(x=pl.lit(2.0))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(PointInTimeError, match="the earlier answer: no column 'n'"):
        extended(EARLIER.drop("n"), ENTITIES, on=ON, join=answered)
    with pytest.raises(PointInTimeError, match="n: Int64 in the entity frame, Int8 in the earlier answer"):
        extended(EARLIER.cast({"n": pl.Int8}), ENTITIES, on=ON, join=answered)
    with pytest.raises(PointInTimeError, match="x: Float64 in the rows joined, Float32 in the earlier answer"):
        extended(EARLIER.cast({"x": pl.Float32}), ENTITIES, on=ON, join=answered)
    with pytest.raises(PointInTimeError, match="1 rows back; found 0"):
        extended(EARLIER.clear(), ENTITIES, on=ON, join=lambda rows: answered(rows).clear())
    with pytest.raises(PointInTimeError, match="no column 'x'"):
        extended(EARLIER, ENTITIES, on=ON, join=lambda rows: rows)


def test_an_earlier_answer_of_nothing_joins_everything() -> None:
    found = extended(EARLIER.clear(), ENTITIES, on=ON, join=answered)
    assert (found.joined, found.reused, found.rows["x"].to_list()) == (1, 0, [2.0])
