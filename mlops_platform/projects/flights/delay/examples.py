"""What the delay model is asked: one row a flight, two hours before its scheduled departure.

`labelled` makes training rows from `flights`, `unlabelled_schedule` the rows to predict from `schedule`; both give the
same columns by the same expressions, and read for them only what the schedule knows in advance.

| column | type | means |
|---|---|---|
| flight_id | String | "2013-07-01T09:15Z-UA-1545-EWR": scheduled departure UTC, carrier, flight number, origin |
| origin, carrier, tailnum, dest, route | String | the entity keys; route is "EWR-IAH"; tailnum can be null |
| event_timestamp | UTC | the time of the prediction: scheduled departure - 2 h |
| flight_number | String | the number within the carrier, "UA-1545": a category |
| hour_of_day | Int64 | hour of the scheduled departure, local, 0-23: for slices |
| day_of_week | Int64 | of the scheduled departure, local, 1 is Monday |
| departure_sin, departure_cos | Float32 | minute of the local day of the departure, as an angle |
| arrival_sin, arrival_cos | Float32 | minute of the local day of the arrival, as an angle |
| departure_minute | Float32 | minute of the local day of the departure, 0-1439 |
| weekday_sin, weekday_cos | Float32 | the day of the week, as an angle |
| season_sin, season_cos | Float32 | the day of the year, local, as an angle |
| distance | Float32 | miles |
| scheduled_minutes | Float32 | scheduled arrival - scheduled departure |
"""

from datetime import timedelta

import polars as pl

from mlops_platform.projects.flights.facts import FLIGHT_KEY, LATE_MINUTES, newest_versions, route
from mlops_platform.projects.flights.times import is_cancelled, is_diverted, scheduled_arrival, scheduled_departure

LEAD = timedelta(hours=2)
"""How long before the scheduled departure a prediction is made."""

ENTITY_COLUMNS = ("flight_id", "origin", "carrier", "tailnum", "dest", "route", "event_timestamp")
CONTEXT_COLUMNS = (
    "flight_number", "hour_of_day", "day_of_week", "departure_sin", "departure_cos", "arrival_sin", "arrival_cos",
    "departure_minute", "weekday_sin", "weekday_cos", "season_sin", "season_cos", "distance", "scheduled_minutes",
)  # fmt: skip
LABEL_COLUMNS = ("label", "label_known_timestamp", "unlabelled")


def labelled(flights: pl.LazyFrame) -> pl.LazyFrame:
    """The newest version of every flight, with its label.

    `label` (Int8) is 1 when it arrived 15 minutes late or more; `label_known_timestamp` (UTC) is when that version was
    known: the actual arrival, or later if corrected. Both are null for flights without an arrival delay, whose
    `unlabelled` (String) says why: "cancelled" or "diverted".
    """
    late = pl.col("arr_delay") >= LATE_MINUTES
    reason = pl.when(is_cancelled()).then(pl.lit("cancelled")).when(is_diverted()).then(pl.lit("diverted"))
    arrived = reason.is_null()
    return (
        newest_versions(flights, FLIGHT_KEY)
        .with_columns(*_asked())
        .with_columns(
            label=pl.when(arrived).then(late).cast(pl.Int8),
            label_known_timestamp=pl.when(arrived).then(pl.col("known_timestamp")),
            unlabelled=reason,
        )
        .select(*ENTITY_COLUMNS, *CONTEXT_COLUMNS, *LABEL_COLUMNS)
    )


def unlabelled_schedule(schedule: pl.LazyFrame) -> pl.LazyFrame:
    """The newest version of every scheduled flight: the same columns as `labelled`, without those about the label."""
    newest = newest_versions(schedule, FLIGHT_KEY)
    return newest.with_columns(*_asked()).select(*ENTITY_COLUMNS, *CONTEXT_COLUMNS)


def _asked() -> list[pl.Expr]:
    departure = scheduled_departure()
    clock = departure.dt.strftime("%Y-%m-%dT%H:%MZ")
    minute_of_day = pl.col("hour") * 60 + pl.col("minute")
    arrival_minute = pl.col("sched_arr_time") // 100 * 60 + pl.col("sched_arr_time") % 100
    date = pl.date("year", "month", "day")
    weekday = date.dt.weekday().cast(pl.Int64)
    return [
        pl.format("{}-{}-{}-{}", clock, "carrier", "flight", "origin").alias("flight_id"),
        route().alias("route"),
        (departure - pl.lit(LEAD)).alias("event_timestamp"),
        pl.format("{}-{}", "carrier", "flight").alias("flight_number"),
        pl.col("hour").cast(pl.Int64).alias("hour_of_day"),
        weekday.alias("day_of_week"),
        *_angle("departure", minute_of_day, 24 * 60),
        *_angle("arrival", arrival_minute, 24 * 60),
        minute_of_day.cast(pl.Float32).alias("departure_minute"),
        *_angle("weekday", weekday, 7),
        *_angle("season", date.dt.ordinal_day(), 366),
        pl.col("distance").cast(pl.Float32),
        (scheduled_arrival() - departure).dt.total_minutes().cast(pl.Float32).alias("scheduled_minutes"),
    ]


def _angle(name: str, value: pl.Expr, period: int) -> list[pl.Expr]:
    turn = value.cast(pl.Float64) * (2 * 3.141592653589793 / period)
    return [turn.sin().cast(pl.Float32).alias(f"{name}_sin"), turn.cos().cast(pl.Float32).alias(f"{name}_cos")]
