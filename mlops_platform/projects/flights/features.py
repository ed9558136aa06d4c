"""The feature tables of the flights project: one lazy function each.

Every table has its key columns, `event_timestamp`, `known_timestamp` (UTC) and its features.

The tables of delays have one row for each tick of five minutes at which a fact came into, or left, one of the key's
windows. It is true and known at that tick (`event_timestamp == known_timestamp`) and holds until the key's next row.
Their columns, for each window (`_3h` is the last three hours, open at the old end):

| column | type | means |
|---|---|---|
| departures_W | Int64 | flights that left |
| departure_delay_W | Float32 | their mean departure delay, minutes, negative when early |
| late_departures_W | Float32 | their share that left 15 minutes late or more |
| cancellations_W | Float32 | flights cancelled, as a share of those cancelled or left |

A mean or share of nothing is null, a count of nothing is 0. All flights here start in New York: the delays of a
destination or an aircraft are those of its flights from there.

To compute the rows of a period alone, read the raw rows whose event timestamp lies in it or at most `LOOKBACK` before
it.
"""

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from mlops_platform.projects.flights.facts import MEASURES, flight_facts, rolling_sums

WINDOW_HOURS = (1, 3, 24)
WINDOWS: dict[str, timedelta] = {f"{hours}h": timedelta(hours=hours) for hours in WINDOW_HOURS}
"""The windows of every table of delays, by the name they have in its columns."""

LONGEST_DELAY = timedelta(hours=48)
"""Bound on how long after its scheduled departure a flight can still arrive; the longest in 2013 took 33 hours."""

LOOKBACK = max(WINDOWS.values()) + LONGEST_DELAY
"""How far before a period its raw flights begin: whatever is older has left every window."""

MAX_WIND_MPH = 200.0
"""Wind beyond this is a broken instrument (the data hold one of 1048 mph) and becomes null."""


def origin_weather(weather: pl.LazyFrame) -> pl.LazyFrame:
    """Weather at the origin in one hour, row by row: true in that hour, known when it is over. LOOKBACK: none.

    Degrees Fahrenheit, percent, miles an hour, inches of rain in the hour, millibars, miles of sight. The wind is split
    into the parts that blow from the east and from the north. No gust means none was reported, and counts as 0.
    """
    speed = pl.when(pl.col("wind_speed") <= MAX_WIND_MPH).then(pl.col("wind_speed"))
    angle = pl.col("wind_dir").cast(pl.Float64).radians()
    features = {
        "temperature": pl.col("temp"),
        "dew_point": pl.col("dewp"),
        "humidity": pl.col("humid"),
        "wind_speed": speed,
        "wind_from_east": speed * angle.sin(),
        "wind_from_north": speed * angle.cos(),
        "wind_gust": pl.col("wind_gust").fill_null(0.0),
        "rain": pl.col("precip"),
        "pressure": pl.col("pressure"),
        "visibility": pl.col("visib"),
    }
    return weather.select(
        "origin",
        "event_timestamp",
        "known_timestamp",
        **{name: value.cast(pl.Float32) for name, value in features.items()},
    )


def aircraft(planes: pl.LazyFrame) -> pl.LazyFrame:
    """What the register says of an aircraft: the year it was built (null for some), its seats and engines. LOOKBACK:
    none."""
    return planes.select(
        "tailnum",
        "event_timestamp",
        "known_timestamp",
        built=pl.col("year").cast(pl.Float32),
        seats=pl.col("seats").cast(pl.Float32),
        engines=pl.col("engines").cast(pl.Int64),
    )


def origin_delays(flights: pl.LazyFrame) -> pl.LazyFrame:
    """Delays of all flights from an airport."""
    return _delays(flights, ["origin"])


def carrier_delays(flights: pl.LazyFrame) -> pl.LazyFrame:
    """Delays of all flights of an airline."""
    return _delays(flights, ["carrier"])


def carrier_origin_delays(flights: pl.LazyFrame) -> pl.LazyFrame:
    """Delays of the flights of one airline from one airport."""
    return _delays(flights, ["carrier", "origin"])


def destination_delays(flights: pl.LazyFrame) -> pl.LazyFrame:
    """Delays of the flights to a destination."""
    return _delays(flights, ["dest"])


def aircraft_delays(flights: pl.LazyFrame) -> pl.LazyFrame:
    """Delays of an aircraft; flights without a tail number (cancelled ones) count for none."""
    return _delays(flights, ["tailnum"])


def _delays(flights: pl.LazyFrame, keys: Sequence[str]) -> pl.LazyFrame:
    sums = rolling_sums(flight_facts(flights), keys, WINDOWS, MEASURES)
    statistics = [statistic for window in WINDOWS for statistic in _statistics(window)]
    tick = pl.col("time")
    return sums.select(*keys, tick.alias("event_timestamp"), tick.alias("known_timestamp"), *statistics)


def _statistics(window: str) -> list[pl.Expr]:
    def total(measure: str) -> pl.Expr:
        return pl.col(f"{measure}_{window}")

    def ratio(name: str, part: pl.Expr, whole: pl.Expr) -> pl.Expr:
        return pl.when(whole > 0).then(part / whole).cast(pl.Float32).alias(f"{name}_{window}")

    left, cancelled = total("departures"), total("cancellations")
    return [
        left,
        ratio("departure_delay", total("departure_delay"), left),
        ratio("late_departures", total("late_departures"), left),
        ratio("cancellations", cancelled, left + cancelled),
    ]
