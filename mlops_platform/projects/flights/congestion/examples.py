"""What the congestion model is asked: one row for each origin and hour, as that hour begins.

`labelled` makes training rows from `flights`, `unlabelled_schedule` the rows to predict from `schedule`; both give the
same columns by the same expressions, and read for them only what the schedule knows in advance.

| column | type | means |
|---|---|---|
| hour_id | String | "2013-07-01T09:00Z-EWR": the hour that begins, UTC, and the origin |
| origin | String | the entity key |
| event_timestamp | UTC | the time of the prediction: the hour begins |
| hour_of_week | Int64 | local, 0 is Monday from midnight to one: a category, and the season of the baseline |
| hour_of_day | Int64 | local, 0-23: for slices |
| hour_sin, hour_cos | Float32 | the local hour of the day, as an angle |
| weekday_sin, weekday_cos | Float32 | the local hour of the week, as an angle |
| scheduled_1 ... scheduled_6 | Float32 | flights scheduled to leave in this hour, the next one, and so on |

An hour has a row if any flight is scheduled in it or in the five that follow it.
"""

from datetime import timedelta

import polars as pl

from mlops_platform.projects.flights.facts import FLIGHT_KEY, newest_versions
from mlops_platform.projects.flights.features import LONGEST_DELAY

HORIZON = 6
"""Hours ahead that are forecast, the one that begins among them."""
HOUR = timedelta(hours=1)
CALENDAR = "America/New_York"

ENTITY_COLUMNS = ("hour_id", "origin", "event_timestamp")
SCHEDULED = tuple(f"scheduled_{step}" for step in range(1, HORIZON + 1))
CONTEXT_COLUMNS = (
    "hour_of_week", "hour_of_day", "hour_sin", "hour_cos", "weekday_sin", "weekday_cos", *SCHEDULED,
)  # fmt: skip
LABEL_COLUMNS = ("label", "label_known_timestamp", "unlabelled")


def labelled(flights: pl.LazyFrame) -> pl.LazyFrame:
    """Every hour with its label.

    `label` (Array of Float32, 6) is the mean departure delay of the flights scheduled in this hour and in each of the
    next five, minutes, negative when early; an element is null where none of them left. The label counts as known
    (`label_known_timestamp`, UTC) `LONGEST_DELAY` after the last of those hours, when even the latest flight is heard
    of, or when a correction came, if later. A row whose six hours go beyond the flights that have landed has no label
    (`unlabelled`: "not_over").
    """
    newest = newest_versions(flights, FLIGHT_KEY)
    over = pl.col("event_timestamp") + pl.lit(HORIZON * HOUR)
    known = pl.max_horizontal(over + pl.lit(LONGEST_DELAY), "heard")
    whole = over <= pl.col("landed") + pl.lit(HOUR)
    delays = [
        pl.when(pl.col(f"left_{step}") > 0).then(pl.col(f"late_{step}") / pl.col(f"left_{step}")).cast(pl.Float32)
        for step in range(1, HORIZON + 1)
    ]
    return (
        _hours(newest, pl.col("dep_delay"), pl.col("known_timestamp"))
        .with_columns(*_asked())
        .with_columns(
            label=pl.when(whole).then(pl.concat_arr(delays)),
            label_known_timestamp=pl.when(whole).then(known),
            unlabelled=pl.when(~whole).then(pl.lit("not_over")),
        )
        .select(*ENTITY_COLUMNS, *CONTEXT_COLUMNS, *LABEL_COLUMNS)
    )


def unlabelled_schedule(schedule: pl.LazyFrame) -> pl.LazyFrame:
    """Every hour of the schedule: the same columns as `labelled`, without those about the label."""
    newest = newest_versions(schedule, FLIGHT_KEY)
    hours = _hours(newest, pl.lit(None, dtype=pl.Int64), pl.lit(None, dtype=pl.Datetime("us", "UTC")))
    return hours.with_columns(*_asked()).select(*ENTITY_COLUMNS, *CONTEXT_COLUMNS)


def _hours(flights: pl.LazyFrame, delay: pl.Expr, known: pl.Expr) -> pl.LazyFrame:
    """A row for each origin and hour with what is scheduled in each step, how many left, and how late together."""
    hourly = flights.group_by("origin", "time_hour").agg(
        scheduled=pl.len().cast(pl.Int64), left=delay.count().cast(pl.Int64), late=delay.sum(), heard=known.max()
    )
    steps = [
        hourly.select(
            "origin",
            (pl.col("time_hour") - pl.lit((step - 1) * HOUR)).alias("event_timestamp"),
            *(pl.col(name).alias(f"{name}_{step}") for name in ("scheduled", "left", "late")),
            "heard",
            landed=pl.col("time_hour").max(),
        )
        for step in range(1, HORIZON + 1)
    ]
    # Of each step there is one row at most; the sum of none is 0, and the sums of integers are exact in any order.
    return (
        pl.concat(steps, how="diagonal")
        .group_by("origin", "event_timestamp")
        .agg(pl.exclude("heard", "landed").sum(), pl.col("heard", "landed").max())
        .sort("event_timestamp", "origin")
    )


def _asked() -> list[pl.Expr]:
    hour = pl.col("event_timestamp")
    local = hour.dt.convert_time_zone(CALENDAR)
    of_day = local.dt.hour().cast(pl.Int64)
    of_week = (local.dt.weekday().cast(pl.Int64) - 1) * 24 + of_day
    return [
        pl.format("{}-{}", hour.dt.strftime("%Y-%m-%dT%H:%MZ"), "origin").alias("hour_id"),
        of_week.alias("hour_of_week"),
        of_day.alias("hour_of_day"),
        *_angle("hour", of_day, 24),
        *_angle("weekday", of_week, 168),
        *(pl.col(name).cast(pl.Float32) for name in SCHEDULED),
    ]


def _angle(name: str, value: pl.Expr, period: int) -> list[pl.Expr]:
    turn = value.cast(pl.Float64) * (2 * 3.141592653589793 / period)
    return [turn.sin().cast(pl.Float32).alias(f"{name}_sin"), turn.cos().cast(pl.Float32).alias(f"{name}_cos")]
