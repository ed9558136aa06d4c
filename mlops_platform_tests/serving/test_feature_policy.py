"""What a missing or stale feature gives the model, and what the answer says of it, is what its column declares."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_platform.online_store import OnlineFeatures, Status
from mlops_platform.serving.policy import Policy, RefusedRowsError
from mlops_platform.spec import Column

NOTED = Column(name="noted", dtype="float32")
FILLED = Column(name="filled", dtype="int64", if_missing="default", default=7)
NEEDED = Column(name="needed", dtype="string", if_missing="refuse")
WORD = {Status.MISSING: "missing", Status.STALE: "stale", Status.LATER: "later"}
GONE = (Status.MISSING, Status.STALE)

statuses = st.lists(st.sampled_from(Status), min_size=0, max_size=6)


def online(**of_table: tuple[list[Status], tuple[Column, ...]]) -> OnlineFeatures:
    """What a store answers: a null where there is no row or it is stale, else a value."""
    values = {}
    for table, (told, group) in of_table.items():
        for column in group:
            dtype = {"float32": pl.Float32, "int64": pl.Int64, "string": pl.String}[column.dtype]
            given = [None if s in GONE else "a" if column.dtype == "string" else row for row, s in enumerate(told)]
            values[f"{table}__{column.name}"] = pl.Series(given, dtype=dtype)
    times = pl.DataFrame(
        {t: pl.Series([None] * len(s), dtype=pl.Datetime("us", "UTC")) for t, (s, _) in of_table.items()}
    )
    told_of = pl.DataFrame({t: pl.Series(s, dtype=pl.UInt8) for t, (s, _) in of_table.items()})
    return OnlineFeatures(values=pl.DataFrame(values), statuses=told_of, events=times, knowns=times)


@given(one=statuses, two=st.data())
def test_marks_and_defaults(one: list[Status], two: st.DataObject) -> None:
    other = two.draw(st.lists(st.sampled_from(Status), min_size=len(one), max_size=len(one)))
    columns = {"a": (NOTED, FILLED), "b": (NOTED,)}
    found = online(a=(one, columns["a"]), b=(other, columns["b"]))
    given, marks = Policy(columns).apply(found)
    for row, (first, second) in enumerate(zip(one, other, strict=True)):
        expected = {}
        if first in WORD:
            expected["a__noted"] = WORD[first]
            expected["a__filled"] = f"default: {WORD[first]}" if first in GONE else WORD[first]
        if second in WORD:
            expected["b__noted"] = WORD[second]
        assert marks[row] == expected
        assert given.values["a__noted"][row] == (None if first in GONE else row)
        assert given.values["a__filled"][row] == (7 if first in GONE else row)
    assert given.values.schema == found.values.schema and given.values.columns == found.values.columns
    assert given.statuses.equals(found.statuses)


def test_a_null_in_a_row_that_is_there_stays_a_null() -> None:
    found = online(a=([Status.PRESENT], (FILLED,)))
    null = pl.DataFrame({"a__filled": pl.Series([None], dtype=pl.Int64)})
    given, marks = Policy({"a": (FILLED,)}).apply(
        OnlineFeatures(values=null, statuses=found.statuses, events=found.events, knowns=found.knowns)
    )
    assert given.values["a__filled"].to_list() == [None] and marks == [{}]


@given(statuses)
def test_rows_are_refused_by_name(told: list[Status]) -> None:
    gone = {row: ["a__needed"] for row, status in enumerate(told) if status in GONE}
    policy, found = Policy({"a": (NEEDED,)}), online(a=(told, (NEEDED,)))
    if not gone:
        assert policy.apply(found)[0].values.equals(found.values)
        return
    with pytest.raises(RefusedRowsError, match="a__needed") as error:
        policy.apply(found)
    assert error.value.rows == gone


def test_where_all_is_there_nothing_is_copied() -> None:
    found = online(a=([Status.PRESENT] * 3, (NOTED, FILLED, NEEDED)))
    given, marks = Policy({"a": (NOTED, FILLED, NEEDED)}).apply(found)
    assert given is found and marks == [{}, {}, {}] and np.array_equal(found.statuses["a"], [0, 0, 0])
