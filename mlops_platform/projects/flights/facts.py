"""What became known about flights, and exact rolling sums over it.

A row of `flights` tells how the departure went: it left, late by so many minutes, or was cancelled. That is *true* at
its `event` and *known* from its `start` on:

| fact | event | start in the first version of the row | start in a corrected version |
|---|---|---|---|
| departed | actual, but not before scheduled departure | the same | the row's known timestamp |
| cancelled | scheduled departure | the same | the row's known timestamp |

A corrected row is a new version of the row with the same key and a later known timestamp. What the old version said
holds until then (`superseded`), never longer. So a fact counts in a rolling window during

    [start, min(event + window, superseded))

with both ends moved up to the next `GRID` tick, and that is all `rolling_sums` does: add it at the start of that
interval, subtract it at the end, and sum up over time. All values are integers, so the sums are exact and do not depend
on how much history came before. A change of anything that starts after T changes no row at or before T.
"""

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from mlops_platform.projects.flights.times import departure_known, is_cancelled, scheduled_departure

FLIGHT_KEY = ("time_hour", "minute", "carrier", "flight", "origin")
"""One flight; its row versions share this key."""

LATE_MINUTES = 15
"""A flight is late from this delay on (the US DOT's definition)."""

GRID = timedelta(minutes=5)
"""Facts enter and leave the sums at ticks of this clock, the next one after they happen: a fact is never seen early, at
most this much late, and busy keys get one row a tick and not one for each aircraft."""

MEASURES = ("departures", "departure_delay", "late_departures", "cancellations")
"""What a fact adds to the sums: counts, and signed minutes."""


def row_versions(rows: pl.LazyFrame, key: Sequence[str]) -> pl.LazyFrame:
    """Adds `superseded` (known timestamp of the key's next version, or null) and `first` (is it the first version?)."""
    ordered = rows.sort("known_timestamp", "_file", "_row")
    known = pl.col("known_timestamp")
    return ordered.with_columns(
        superseded=known.shift(-1).over(key), first=pl.int_range(pl.len(), dtype=pl.Int64).over(key) == 0
    )


def newest_versions(rows: pl.LazyFrame, key: Sequence[str]) -> pl.LazyFrame:
    """The version of each key that was known last."""
    versions = row_versions(rows, key)
    return versions.filter(pl.col("superseded").is_null()).drop("superseded", "first")


def flight_facts(flights: pl.LazyFrame) -> pl.LazyFrame:
    """All facts of `flights`: the row's columns, `start`, `event`, `superseded` (UTC) and the measures (integers)."""
    versions = row_versions(flights, FLIGHT_KEY)
    cancelled = is_cancelled()
    happened = pl.when(cancelled).then(scheduled_departure()).otherwise(departure_known())
    delay = pl.when(cancelled).then(0).otherwise(pl.col("dep_delay"))
    facts = versions.with_columns(
        event=happened, start=pl.when(pl.col("first")).then(happened).otherwise(pl.col("known_timestamp"))
    )
    return facts.with_columns(
        departures=_count(~cancelled),
        departure_delay=delay.cast(pl.Int64),
        late_departures=_count(~cancelled & (delay >= LATE_MINUTES)),
        cancellations=_count(cancelled),
    )


def route() -> pl.Expr:
    """Origin and destination as one key: "EWR-IAH"."""
    return pl.format("{}-{}", "origin", "dest")


def rolling_sums(
    facts: pl.LazyFrame, keys: Sequence[str], windows: dict[str, timedelta], measures: Sequence[str]
) -> pl.LazyFrame:
    """The sums of the measures over each window, one row for each (key, tick) at which a fact came or left.

    Columns: the keys, `time` (UTC) and `{measure}_{window}` (Int64). Facts with a null key are left out. Rows for what
    left a window matter as much as rows for what came: without them, the last sums before a quiet night hold until
    morning.
    """
    # Cached: each window reads the facts twice.
    needed = facts.select(*keys, "start", "event", "superseded", *measures).cache()
    known = needed.filter(pl.all_horizontal(pl.col(key).is_not_null() for key in keys))
    start = next_tick(pl.col("start"))
    changes = []
    for name, window in windows.items():
        end = next_tick(pl.min_horizontal(pl.col("event") + pl.lit(window), "superseded"))
        counted = known.select(*keys, *measures, come=start, gone=end).filter(pl.col("gone") > pl.col("come"))
        changes += [
            _change(counted, "come", keys, name, measures, 1),
            _change(counted, "gone", keys, name, measures, -1),
        ]
    per_tick = pl.concat(changes, how="diagonal").group_by([*keys, "time"]).agg(pl.all().sum())
    return per_tick.sort(*keys, "time").with_columns(pl.exclude(*keys, "time").cum_sum().over(keys))


def next_tick(time: pl.Expr) -> pl.Expr:
    """The first tick of `GRID` at or after a time."""
    return (time + pl.lit(GRID - timedelta(microseconds=1))).dt.truncate(GRID)


def _change(
    facts: pl.LazyFrame, at: str, keys: Sequence[str], window: str, measures: Sequence[str], sign: int
) -> pl.LazyFrame:
    """What the facts add to (or take from) the sums of one window, and when; summed up early to keep the frames
    small."""
    values = [(pl.col(measure).sum() * sign).alias(f"{measure}_{window}") for measure in measures]
    return facts.group_by([*keys, pl.col(at).alias("time")]).agg(values)


def _count(condition: pl.Expr) -> pl.Expr:
    return condition.cast(pl.Int64)
