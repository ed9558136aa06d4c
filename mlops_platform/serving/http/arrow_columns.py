"""Columns of Arrow and Parquet as those that a request may bring, and the checks of their values."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from mlops_platform.serving.http.columns import FEW, LONGEST_TEXT, TYPES, Given, needed, require_names
from mlops_platform.serving.http.errors import invalid, shown

_FIRST, _END = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (1900, 2200))
"""Seconds since 1970 from the first of which to before the second a time is of 1900 to 2199."""
_A_SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9}


def frame_from(columns: Sequence[Given], frame: pl.DataFrame, place: str) -> pl.DataFrame:
    """A frame from Arrow as one of the declared types.

    Raises:
        Refused: See ``columns.frame_of``; also a column that is unknown or missing, or a time without a zone.
    """
    require_names(columns, frame.columns, place)
    return pl.DataFrame([_typed(c, frame[c.name], place) for c in columns if c.name in frame.columns],
                        height=frame.height)  # fmt: skip


def _typed(column: Given, found: pl.Series, place: str) -> pl.Series:
    """One column of Arrow's."""
    if found.dtype == pl.Null:
        found = found.cast(TYPES[column.dtype])
    if not _fits(column.dtype, found.dtype):
        zone = " with a time zone" if column.dtype == "timestamp" else ""
        raise invalid(f"{place}.{column.name}", f"{column.dtype}{zone}", str(found.dtype))
    if _plainly_sound(column, found):
        return found.cast(TYPES[column.dtype])
    bounds = column.bounds
    wrong = found.is_null() if not column.nullable else pl.zeros(len(found), pl.Boolean, eager=True)
    if bounds is not None:
        # Wide enough for both bounds, whatever the width that came; no NaN is between any.
        wide = found.cast(pl.Float64 if column.dtype.startswith("float") else pl.Int128)
        wrong |= ~(wide.is_between(*bounds) & ~wide.is_nan()).fill_null(True)
    elif column.dtype == "string":
        wrong |= (found.cast(pl.String).str.len_chars() > LONGEST_TEXT).fill_null(False)
    elif isinstance(found.dtype, pl.Datetime):
        # By their numbers: polars panics at years beyond its calendar.
        unit = _A_SECOND[found.dtype.time_unit]
        wrong |= ~found.to_physical().is_between(_FIRST * unit, _END * unit - 1).fill_null(True)
    if wrong.any():
        number = int(wrong.arg_max() or 0)
        remedy = "send null for what is missing: NaN and infinity are no values"
        raise invalid(f"{place}[{number}].{column.name}", needed(column), _shown(found, number), remedy)
    return found.cast(TYPES[column.dtype])


def _shown(found: pl.Series, number: int) -> str:
    if isinstance(found.dtype, pl.Datetime) and not found.is_null()[number]:
        return f"{found.to_physical()[number]} {found.dtype.time_unit} since 1970"
    return shown(found[number])


def _plainly_sound(column: Given, found: pl.Series) -> bool:
    """Whether a column is sound, told by its extremes alone: an expression each costs ten times as much.

    False where these do not tell.
    """
    if found.null_count() and not column.nullable:
        return False
    if column.dtype == "string" and len(found) <= FEW:
        texts = found.cast(pl.String).to_list()
        return max((len(text) for text in texts if text is not None), default=0) <= LONGEST_TEXT
    if isinstance(found.dtype, pl.Datetime):
        # Not after a cast: a moment of millions of years would come back as one of ours.
        moments, unit = found.to_physical(), _A_SECOND[found.dtype.time_unit]
        first: Any = moments.min()
        last: Any = moments.max()
        return first is not None and bool(_FIRST * unit <= first <= last < _END * unit)
    if column.bounds is None:
        return column.dtype == "bool"
    least: Any = found.min()
    most: Any = found.max()
    # Of NaN neither extreme tells, but a sum does.
    whole = not found.dtype.is_float() or math.isfinite(found.sum())
    return whole and (least is None or bool(column.bounds[0] <= least <= most <= column.bounds[1]))


def _fits(dtype: str, found: pl.DataType) -> bool:
    if dtype == "timestamp":
        return isinstance(found, pl.Datetime) and found.time_zone is not None
    if dtype == "string":
        return found in (pl.String, pl.Categorical, pl.Enum)
    if dtype == "bool":
        return found == pl.Boolean
    return found.is_integer() or (dtype.startswith("float") and found.is_float())
