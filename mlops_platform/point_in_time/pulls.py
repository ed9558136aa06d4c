"""Reading a table by itself: all rows of a time range, or the newest of each key."""

from collections.abc import Callable, Sequence
from datetime import datetime

import polars as pl

from mlops_platform.point_in_time.asked import ROW
from mlops_platform.point_in_time.errors import rewritten
from mlops_platform.point_in_time.gathering import gathered
from mlops_platform.point_in_time.memory import default_budget, used_bytes
from mlops_platform.point_in_time.planning import stored_widths
from mlops_platform.point_in_time.times import UTC_TIME, as_utc, in_utc, roughly_within
from mlops_platform.point_in_time.view_frame import require_columns, schema_of

_LEAST_ROWS, _BYTES_A_ROW, _AT_ONCE = 100_000, 150, 512 * 2**20


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
    unchanged: Callable[[], bool] | None = None, memory_budget: int | None = None,
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
        unchanged: As for `ViewFrame`; with it, keys and times are read first, then only the rows that are returned.
        memory_budget: Bytes that this process may use; three quarters of what there is by default.

    Returns:
        Keys, `columns` and times, as `between` gives them, one row per key, ordered by event time.

    Raises:
        PointInTimeError: A column is missing or a time column holds no times; when collected: the rows were written
            anew while they were read.
    """
    wanted = [*keys, *columns] if columns else []

    def rows(given: pl.LazyFrame, columns: Sequence[str]) -> pl.LazyFrame:
        return between(given, name=name, columns=columns, event_timestamp=event_timestamp,
                       known_timestamp=known_timestamp, start=start, end=end)  # fmt: skip

    whole = rows(frame, wanted)
    schema = whole.collect_schema()
    require_columns(keys, schema, where=name, remedy="Correct the entity's join key.")
    order = [event_timestamp] + ([known_timestamp] if known_timestamp else [])
    if unchanged is None:
        return _newest(whole, keys, order)

    def answer() -> pl.DataFrame:
        height = int(frame.select(pl.len()).collect().item())
        stretch = max(_LEAST_ROWS, ((memory_budget or default_budget()) - used_bytes()) // 4 // _BYTES_A_ROW)
        newest: pl.DataFrame | None = None
        for begin in range(0, max(height, 1), stretch):
            part = rows(frame.with_row_index(ROW).slice(begin, stretch), [ROW, *keys]).collect(engine="in-memory")
            both = part if newest is None else pl.concat([newest, part])
            newest = _newest(both.lazy(), keys, order).collect(engine="in-memory")
        assert newest is not None  # there is one stretch at least
        others = {column: column for column in schema if column not in newest.columns}
        widths = stored_widths(frame, others)
        values = gathered(frame, others, newest[ROW], height=height, widths=widths, at_once=_AT_ONCE)
        if not unchanged():
            raise rewritten(name)
        return newest.with_columns(values).select(*schema)

    return pl.defer(answer, schema=schema)


def _newest(rows: pl.LazyFrame, keys: Sequence[str], order: Sequence[str]) -> pl.LazyFrame:
    rows = rows.sort(order, nulls_last=False, maintain_order=True)
    if not keys:
        return rows.tail(1)
    rows = rows.filter(pl.all_horizontal(pl.col(keys).is_not_null()))
    return rows.unique(subset=keys, keep="last", maintain_order=True)
