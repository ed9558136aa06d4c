"""Joins as of a time, in polars: lazy frames in, a lazy frame out.

How a join that looks like two conditions (true by then, *and* known by then) becomes one backward asof join:
a row is visible from `max(event, known)` on. Order the rows of a key by that moment; a row that is older, by
(event, known, file order), than one already visible will never be chosen, so it is dropped. What is left is
ordered by visibility and by rank at once, and the last row visible at T is the newest visible row at T.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import polars as pl

from mlops_platform.point_in_time.times import UTC_TIME, as_utc, in_utc, roughly_within
from mlops_platform.point_in_time.view_frame import (
    ViewFrame,
    check_columns,
    check_outputs,
    key_types,
    require_columns,
    schema_of,
)

_ROW, _AT, _EVENT, _KNOWN, _RANK, _VISIBLE = (f"__pit_{n}" for n in ("row", "at", "event", "known", "rank", "visible"))
# Stands for a null entity time: before every moment that a datetime can hold, and far enough from the end of Int64
# that subtracting a ttl cannot wrap around.
_NEVER = -(2**62)


def join_as_of(
    entities: pl.LazyFrame, views: Sequence[ViewFrame], *, event_timestamp: str, with_times: bool = False
) -> pl.LazyFrame:
    """Give each entity row the features of the newest row of each view that was visible at its time.

    Args:
        entities: One row per question. Every column is kept; the time column becomes `Datetime("us", "UTC")`.
        views: The views to join; see `ViewFrame`. Output names must be free and distinct.
        event_timestamp: The time column of `entities`: datetime, date or ISO text; no zone means UTC. Null: no match.
        with_times: Also add `<view>__event_timestamp` and `<view>__known_timestamp` of the row chosen, both
            `Datetime("us", "UTC")`, null where none was chosen or the view has no known timestamp.

    Returns:
        As many rows as `entities`, in the same order: its columns, then each view's features as stored (nulls where
        nothing matched), each view followed by its two times if they were asked for.

    Raises:
        PointInTimeError: A column is missing, a key or time type does not fit, a name is used twice.
    """
    schema = schema_of(entities, where="entity frame")
    require_columns(
        [event_timestamp], schema, where="entity frame", remedy="Name the column that holds each row's time."
    )
    outputs = [(view.name, name) for view in views for name in _output_names(view, with_times)]
    types = [key_types(view, schema, check_columns(view)) for view in views]
    check_outputs(schema, outputs)
    moment = as_utc(event_timestamp, schema[event_timestamp], where="entity frame")
    joined = (
        entities.with_row_index(_ROW)
        .with_columns(moment)
        .with_columns(pl.col(event_timestamp).to_physical().fill_null(_NEVER).alias(_AT))
        .sort(_AT)
    )
    for view, compared in zip(views, types, strict=True):
        joined = _join_one(joined, view, compared, with_times)
    return joined.sort(_ROW).select(*schema, *(name for _, name in outputs))


def _output_names(view: ViewFrame, with_times: bool) -> list[str]:
    times = [f"{view.name}__event_timestamp", f"{view.name}__known_timestamp"]
    return [*view.features.values(), *(times if with_times else [])]


def _join_one(left: pl.LazyFrame, view: ViewFrame, types: Mapping[str, pl.DataType], with_times: bool) -> pl.LazyFrame:
    keys = [f"__pit_key_{number}" for number in range(len(types))]
    left = left.with_columns(
        pl.col(column).cast(dtype, strict=False).alias(key)
        for key, (column, dtype) in zip(keys, types.items(), strict=True)
    )
    right = _visible_rows(view, types, keys)
    # Both sides are sorted by time above; with `by`, polars can only warn that it does not check.
    joined = left.join_asof(
        right, left_on=_AT, right_on=_VISIBLE, by_left=keys or None, by_right=keys or None,
        strategy="backward", check_sortedness=False,
    )  # fmt: skip
    times = [_EVENT, _KNOWN]
    if with_times:
        joined = joined.with_columns(
            pl.col(time).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias(f"{view.name}__{label}_timestamp")
            for time, label in ((_EVENT, "event"), (_KNOWN, "known"))
        )
    if ttl := _ttl_in_microseconds(view.ttl):
        alive = pl.col(_EVENT) >= pl.col(_AT) - ttl
        joined = joined.with_columns(pl.when(alive).then(pl.col(name)) for name in _output_names(view, with_times))
    return joined.drop(*keys, *times, _VISIBLE, strict=False)


def _visible_rows(view: ViewFrame, types: Mapping[str, pl.DataType], keys: Sequence[str]) -> pl.LazyFrame:
    """Return the rows that can ever be chosen, ordered by the moment from which they are, as `_VISIBLE`."""
    schema = view.frame.collect_schema()
    where = f"view {view.name!r}"

    def time(column: str) -> pl.Expr:
        return as_utc(column, schema[column], where=where).to_physical()

    known = time(view.known_timestamp) if view.known_timestamp else pl.lit(None, dtype=pl.Int64)
    rows = view.frame.select(
        *(
            pl.col(view.keys[column]).cast(dtype, strict=False).alias(key)
            for key, (column, dtype) in zip(keys, types.items(), strict=True)
        ),
        *(pl.col(column).alias(output) for column, output in view.features.items()),
        time(view.event_timestamp).alias(_EVENT),
        known.alias(_KNOWN),
    ).filter(pl.all_horizontal(pl.col(_EVENT, *keys).is_not_null()))
    if view.known_timestamp is None:
        return rows.sort(_EVENT, maintain_order=True).with_columns(pl.col(_EVENT).alias(_VISIBLE))
    rows = rows.sort(_EVENT, _KNOWN, nulls_last=False, maintain_order=True)
    if view.known_time == "ignore":
        return rows.with_columns(pl.col(_EVENT).alias(_VISIBLE))
    newest_yet = pl.col(_RANK).cum_max()
    return (
        rows.with_row_index(_RANK)
        .with_columns(pl.max_horizontal(_EVENT, _KNOWN).alias(_VISIBLE))
        .sort(_VISIBLE, maintain_order=True)
        .filter(pl.col(_RANK) == (newest_yet.over(keys) if keys else newest_yet))
        .drop(_RANK)
    )


def _ttl_in_microseconds(ttl: timedelta | None) -> int | None:
    if not ttl:
        return None
    whole = ttl // timedelta(microseconds=1)
    return whole if whole < -_NEVER else None  # longer than any time there is: no limit


def between(
    frame: pl.LazyFrame, *, name: str, columns: Sequence[str], event_timestamp: str,
    known_timestamp: str | None = None, start: datetime | None = None, end: datetime | None = None,
) -> pl.LazyFrame:  # fmt: skip
    """Return all rows whose event time lies in `[start, end]`, both ends included, in file order.

    Args:
        frame: The rows.
        name: What they belong to, for errors.
        columns: Columns to return besides the times; empty means every column.
        event_timestamp: When a row was true; rows without it are left out.
        known_timestamp: When it could be known, or None.
        start: First moment, or None for no limit; no zone means UTC.
        end: Last moment, likewise.

    Returns:
        `columns` as stored, then the event and the known time as `Datetime("us", "UTC")`.

    Raises:
        PointInTimeError: A column is missing or a time column holds no times.
    """
    schema = schema_of(frame, where=name)
    times = [event_timestamp] + ([known_timestamp] if known_timestamp else [])
    wanted = list(dict.fromkeys([*(columns or schema), *times]))
    require_columns(wanted, schema, where=name, remedy="Correct the source or the schema that names the column.")
    event = pl.col(event_timestamp)
    keep = event.is_not_null()
    keep = keep if start is None else keep & (event >= pl.lit(in_utc(start), dtype=UTC_TIME))
    keep = keep if end is None else keep & (event <= pl.lit(in_utc(end), dtype=UTC_TIME))
    return (
        frame.filter(roughly_within(event_timestamp, schema[event_timestamp], start, end))
        .select(wanted)
        .with_columns(as_utc(time, schema[time], where=name) for time in times)
        .filter(keep)
    )


def latest(
    frame: pl.LazyFrame, *, name: str, keys: Sequence[str], columns: Sequence[str], event_timestamp: str,
    known_timestamp: str | None = None, start: datetime | None = None, end: datetime | None = None,
) -> pl.LazyFrame:  # fmt: skip
    """Return the newest row of each key whose event time lies in `[start, end]`.

    Newest is by event time, then known time (nulls lose), then file order. Rows with a null key are left out.
    Without keys the one newest row is returned.

    Args:
        frame: The rows.
        name: What they belong to, for errors.
        keys: The key columns; may be empty.
        columns: Columns to return besides keys and times; empty means every column.
        event_timestamp: As for `between`.
        known_timestamp: As for `between`.
        start: As for `between`.
        end: As for `between`.

    Returns:
        Keys, `columns` and times, as `between` gives them, one row per key, ordered by event time.

    Raises:
        PointInTimeError: A column is missing or a time column holds no times.
    """
    rows = between(
        frame, name=name, columns=[*keys, *columns] if columns else [], event_timestamp=event_timestamp,
        known_timestamp=known_timestamp, start=start, end=end,
    )  # fmt: skip
    order = [event_timestamp] + ([known_timestamp] if known_timestamp else [])
    require_columns(keys, rows.collect_schema(), where=name, remedy="Correct the entity's join key.")
    rows = rows.sort(order, nulls_last=False, maintain_order=True)
    if not keys:
        return rows.tail(1)
    rows = rows.filter(pl.all_horizontal(pl.col(keys).is_not_null()))
    return rows.unique(subset=keys, keep="last", maintain_order=True)
