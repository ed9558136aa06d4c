"""The two times of every raw row: when it was true (`event_timestamp`) and when we could know it (`known_timestamp`),
UTC.

| table | event timestamp | known timestamp |
|---|---|---|
| flights | scheduled departure | when the row's last fact was known: see `times.row_known` |
| schedule | scheduled departure | one day before it |
| weather | the hour observed | one hour later, when the hour is over |
| planes, airports, airlines | `REGISTER_DATE` | `REGISTER_DATE` |

Single facts of a `flights` row are known before the whole row is: the departure delay when the aircraft leaves. The
feature functions use that (`facts.py`); a join on raw rows has to use the row's own, later, known timestamp.

All functions are lazy, row by row, and read the CSV's columns only, so they give the same answer in any partition.
"""

from datetime import UTC, datetime, timedelta

import polars as pl

from mlops_platform.projects.flights.times import departure_known, is_cancelled, row_known, scheduled_departure

REGISTER_DATE = datetime(2012, 12, 1, tzinfo=UTC)
"""From when on the registers of aircraft, airports and airlines count as known: before the first flight of 2013."""

SCHEDULE_LEAD = timedelta(days=1)
"""How long before its scheduled departure a flight's schedule, aircraft included, counts as known."""

WEATHER_DELAY = timedelta(hours=1)
"""`time_hour` starts the hour that a weather row describes; the row is known when that hour is over."""

LONGEST_FLIGHT = timedelta(days=2)
"""More than lies between the departure of a flight, an hour late at that, and the last that is heard of it."""


def flights_times(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Flights happen at their scheduled departure and are known when their last fact is."""
    return rows.with_columns(event_timestamp=scheduled_departure(), known_timestamp=row_known())


def schedule_times(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Scheduled flights happen at their scheduled departure and are known a day before."""
    return rows.with_columns(
        event_timestamp=scheduled_departure(), known_timestamp=scheduled_departure() - pl.lit(SCHEDULE_LEAD)
    )


def weather_times(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Weather happens at the start of its hour and is known at the end of it."""
    return rows.with_columns(
        event_timestamp=pl.col("time_hour"), known_timestamp=pl.col("time_hour") + pl.lit(WEATHER_DELAY)
    )


def planes_times(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The aircraft register, valid and known from `REGISTER_DATE` on."""
    return _register_times(rows)


def airports_times(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The airport register, valid and known from `REGISTER_DATE` on."""
    return _register_times(rows)


def airlines_times(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The airline register, valid and known from `REGISTER_DATE` on."""
    return _register_times(rows)


def _register_times(rows: pl.LazyFrame) -> pl.LazyFrame:
    date = pl.lit(REGISTER_DATE, dtype=pl.Datetime("us", "UTC"))
    return rows.with_columns(event_timestamp=date, known_timestamp=date)


def flights_perturbed(rows: pl.LazyFrame, at: datetime) -> pl.LazyFrame:
    """The rows as they would be if all that became known after `at` had gone otherwise, and was still known after it.

    Departures and arrivals not known yet come an hour later; flights not yet known to be cancelled leave an hour late.
    A row that changes counts as known `LONGEST_FLIGHT` later, no sooner than any of its facts.
    """
    moment = pl.lit(at)
    unknown = departure_known() > moment
    spared = unknown & is_cancelled()
    late = pl.col("known_timestamp") > moment
    changed = rows.with_columns(
        dep_time=pl.when(spared).then(pl.col("sched_dep_time")).otherwise(pl.col("dep_time")),
        dep_delay=pl.when(spared).then(60).when(unknown).then(pl.col("dep_delay") + 60).otherwise(pl.col("dep_delay")),
        arr_delay=pl.when(late).then(pl.col("arr_delay") + 60).otherwise(pl.col("arr_delay")),
    )
    later = pl.when(late).then(pl.col("known_timestamp") + pl.lit(LONGEST_FLIGHT))
    return changed.with_columns(known_timestamp=later.otherwise(pl.col("known_timestamp")))
