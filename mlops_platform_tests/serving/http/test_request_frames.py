"""A frame of values from JSON or Arrow holds each value as it was sent, whatever way it took."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlops_platform.serving.http.arrow_columns import frame_from
from mlops_platform.serving.http.columns import FEW, LONGEST_TEXT, TYPES, Given, frame_of
from mlops_platform.serving.http.errors import Refused

_OFFSETS = ("Z", "+00:00", "+05:30", "-23:59")
_FLOAT32, _FLOAT64 = np.finfo(np.float32).max.item(), np.finfo(np.float64).max.item()
_MOMENTS = st.builds(
    lambda moment, offset: moment.isoformat() + offset,
    st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31, 23, 59, 59, 999_999)), st.sampled_from(_OFFSETS),
)  # fmt: skip
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int8": st.one_of(st.integers(-128, 127), st.integers(-128, 127).map(float)),
    "int64": st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-9, 9).map(float)),
    "float32": st.one_of(st.floats(-_FLOAT32, _FLOAT32), st.integers(-(2**70), 2**70), st.just(-0.0), st.just(1e-45)),
    "float64": st.one_of(st.floats(-_FLOAT64, _FLOAT64), st.integers(-(2**70), 2**70), st.just(5e-324)),
    "string": st.one_of(st.text(max_size=5), st.just("é\0x"), st.just("a" * LONGEST_TEXT)),
    "bool": st.booleans(),
    "timestamp": _MOMENTS,
}
_ROWS = st.lists(st.fixed_dictionaries({name: st.none() | values for name, values in _VALUES.items()}),
                 min_size=1, max_size=4)  # fmt: skip
_COLUMNS = [Given(name=dtype, dtype=dtype) for dtype in TYPES]


def alone(dtype: str, values: Sequence[Any]) -> pl.Series:
    """A column made by itself, as polars reads values of its dtype one by one."""
    if dtype == "timestamp":
        values = [None if value is None else datetime.fromisoformat(value).astimezone(UTC) for value in values]
    if dtype.startswith("int"):
        values = [None if value is None else int(value) for value in values]
    return pl.Series(dtype, values, dtype=TYPES[dtype], strict=not dtype.startswith("float"))


def bits(column: pl.Series) -> tuple[Any, ...]:
    """What tells two columns apart, zeros of either sign too."""
    if column.dtype.is_float():
        return column.dtype, column.is_null().to_list(), column.fill_null(0.0).to_numpy().tobytes()
    return column.dtype, column.to_list()


@settings(max_examples=150, deadline=None)
@given(_ROWS, st.sampled_from([0, FEW]))
@example([dict.fromkeys(TYPES)], 0)
def test_rows_of_json_become_the_columns_that_polars_makes_of_each(rows: list[dict[str, Any]], more: int) -> None:
    # The same rows again and again: more of them than are made at once.
    repeated = (rows * (more // len(rows) + 1))[: len(rows) + more]
    values = {name: [row[name] for row in repeated] for name in TYPES}
    frame = frame_of(_COLUMNS, values, len(repeated), "rows")
    assert frame.shape == (len(repeated), len(TYPES))
    for name in TYPES:
        assert bits(frame[name]) == bits(alone(name, values[name])), name


def test_no_columns_are_a_frame_of_so_many_rows() -> None:
    assert frame_of(_COLUMNS, {}, 3, "rows").shape == (3, 0)


def made(value: Any, beside: Sequence[None], dtype: pl.DataType) -> pl.Series:
    """A column of Arrow; times from their numbers, as Python has none of so far years."""
    temporal = isinstance(dtype, pl.Datetime)
    return pl.Series([value, *beside], dtype=pl.Int64 if temporal else dtype).cast(dtype)


def arrow_refused(column: Given, value: Any, dtype: pl.DataType) -> bool:
    """Whether a value in a column of Arrow is refused; as the only one, and beside one that is sound."""
    told = []
    for beside in ([], [None] if column.nullable else []):
        frame = pl.DataFrame({"value": made(value, beside, dtype)})
        try:
            typed = frame_from((column,), frame, "rows")["value"]
            assert typed.dtype == TYPES[column.dtype]
            assert typed[0] == (frame["value"].cast(typed.dtype)[0])
            told.append(False)
        except Refused:
            told.append(True)
    assert len(set(told)) == 1
    return told[0]


@settings(max_examples=100, deadline=None)
@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from(["ms", "us", "ns"]), st.booleans())
@example(-2_208_988_800_000, "ms", True)
@example(7_258_118_400_000_000, "us", True)
@example(2**62, "ms", True)
@example(2**63 - 1, "ms", False)
def test_times_of_arrow_are_those_of_1900_to_2199(number: int, unit: Any, nullable: bool) -> None:
    seconds, first = number // {"ms": 10**3, "us": 10**6, "ns": 10**9}[unit], datetime(1970, 1, 1, tzinfo=UTC)
    low, high = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
    sound = (low - first) / timedelta(seconds=1) <= seconds < (high - first) / timedelta(seconds=1)
    column = Given(name="value", dtype="timestamp", nullable=nullable)
    assert arrow_refused(column, number, pl.Datetime(unit, "UTC")) != sound


@pytest.mark.parametrize(
    ("dtype", "sent", "value", "refuses"),
    [
        ("string", pl.String(), "é" * LONGEST_TEXT, False),
        ("string", pl.String(), "x" * (LONGEST_TEXT + 1), True),
        ("string", pl.Categorical(), "x", False),
        ("bool", pl.Boolean(), True, False),
        ("int8", pl.Int64(), 127, False),
        ("int8", pl.Int64(), 128, True),
        ("float32", pl.Float64(), 3.5e38, True),
        ("float32", pl.Float32(), 1.5, False),
        ("float64", pl.Float64(), math.nan, True),
        ("float64", pl.Float64(), -math.inf, True),
    ],
)
@pytest.mark.parametrize("nullable", [True, False])
def test_values_of_arrow_are_refused_as_those_of_json(
    dtype: str, sent: pl.DataType, value: Any, refuses: bool, nullable: bool
) -> None:
    assert arrow_refused(Given(name="value", dtype=dtype, nullable=nullable), value, sent) == refuses


@pytest.mark.parametrize("dtype", sorted(TYPES))
def test_a_null_of_arrow_is_refused_where_none_may_be(dtype: str) -> None:
    column = Given(name="value", dtype=dtype, nullable=False)
    for sent in (TYPES[dtype], pl.Null()):
        with pytest.raises(Refused):
            frame_from((column,), pl.DataFrame({"value": pl.Series([None], dtype=sent)}), "rows")
    assert frame_from((Given(name="value", dtype=dtype),), pl.DataFrame({"value": [None]}), "rows").null_count().item()
