"""When things happened to a flight, in UTC, as expressions over one row of the raw table `flights` (or `schedule`).

Units of the columns read here: `time_hour` is UTC, cut to the hour; `minute` is the minute of the scheduled departure;
`sched_arr_time` and `arr_time` are wall clock times at the destination, written as integers (517 is 05:17, 2400 is the
midnight that ends the day); `dep_delay` and `arr_delay` are minutes, negative when early.
"""

import polars as pl

from mlops_platform.projects.flights.zones import AIRPORTS_OF_ZONE, zone_of


def minutes(count: pl.Expr) -> pl.Expr:
    """A number of minutes as a duration."""
    return pl.duration(minutes=count, time_unit="us")


def scheduled_departure() -> pl.Expr:
    """The scheduled departure, UTC."""
    return pl.col("time_hour") + minutes(pl.col("minute"))


def actual_departure() -> pl.Expr:
    """The actual departure, UTC; null when the flight did not leave."""
    return scheduled_departure() + minutes(pl.col("dep_delay"))


def scheduled_arrival() -> pl.Expr:
    """The scheduled arrival, UTC: the first `sched_arr_time` at the destination after the scheduled departure."""
    return _next_wall_clock(scheduled_departure(), pl.col("sched_arr_time"))


def actual_arrival() -> pl.Expr:
    """The actual arrival, UTC, never before the departure; null when cancelled or diverted.

    Counted from the schedule, because `arr_time` alone does not tell the day of a flight more than a day late.
    """
    arrival = scheduled_arrival() + minutes(pl.col("arr_delay"))
    return pl.when(arrival.is_not_null()).then(pl.max_horizontal(arrival, actual_departure()))


def departure_known() -> pl.Expr:
    """When we know how the departure went, UTC: the actual departure, but not before the scheduled one.

    A cancellation is known at the scheduled departure. A flight that left some minutes early counts from its scheduled
    time: that hides a few minutes of knowledge, and in return no fact precedes its row's event timestamp.
    """
    return pl.max_horizontal(scheduled_departure(), actual_departure())


def row_known() -> pl.Expr:
    """When the last fact of a row of `flights` is known, UTC.

    Arrived: the actual arrival. Cancelled: the scheduled departure. Diverted (it left, and has no `arr_delay`): the
    latest of its departure, its scheduled arrival and, where given, its `arr_time`.
    """
    landed = pl.when(pl.col("arr_delay").is_null()).then(_next_wall_clock(actual_departure(), pl.col("arr_time")))
    diverted = pl.max_horizontal(departure_known(), scheduled_arrival(), landed)
    return (
        pl.when(is_cancelled())
        .then(scheduled_departure())
        .when(is_diverted())
        .then(diverted)
        .otherwise(pl.max_horizontal(departure_known(), actual_arrival()))
    )


def is_cancelled() -> pl.Expr:
    """The flight never left."""
    return pl.col("dep_time").is_null()


def is_diverted() -> pl.Expr:
    """The flight left and has no arrival delay: it landed elsewhere first."""
    return pl.col("dep_time").is_not_null() & pl.col("arr_delay").is_null()


def _next_wall_clock(after: pl.Expr, hhmm: pl.Expr) -> pl.Expr:
    """The first moment after `after` (UTC) at which the clock at `dest` shows `hhmm`, UTC."""
    zone = zone_of(pl.col("dest"))
    # Each zone converts its own rows only: the others are null there, and converting is what costs.
    return pl.coalesce(_next_wall_clock_in(n, pl.when(zone == n).then(after), hhmm) for n in AIRPORTS_OF_ZONE)


def _next_wall_clock_in(zone: str, after: pl.Expr, hhmm: pl.Expr) -> pl.Expr:
    """As `_next_wall_clock`, in one zone. An hour that occurs twice means the later one, a skipped hour the next."""
    here = after.dt.convert_time_zone(zone).dt.replace_time_zone(None)
    same_day = here.dt.truncate("1d") + minutes(hhmm // 100 * 60 + hhmm % 100)
    wall = pl.when(same_day > here).then(same_day).otherwise(same_day + pl.duration(days=1, time_unit="us"))
    moment = wall.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
    skipped = (wall + minutes(pl.lit(60))).dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
    return pl.coalesce(moment, skipped).dt.convert_time_zone("UTC")
