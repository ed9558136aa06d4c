"""The two times of the raw rows."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from mlops_platform.projects.flights import sources, times, upstream, zones


def flight(**values: object) -> pl.LazyFrame:
    """One flight, EWR to LAX, due 2013-07-01 23:30 local (03:30 UTC) and 02:10 at the destination (09:10 UTC)."""
    row = {
        "dep_time": 2330, "dep_delay": 0, "arr_time": 210, "sched_arr_time": 210, "arr_delay": 0, "dest": "LAX",
        "minute": 30, "time_hour": datetime(2013, 7, 2, 3, tzinfo=UTC),
    }  # fmt: skip
    schema = dict.fromkeys(("dep_time", "dep_delay", "arr_time", "arr_delay"), pl.Int64)
    frame = pl.LazyFrame([{**row, **values}], schema_overrides=schema)
    return frame.with_columns(pl.col("time_hour").cast(pl.Datetime("us", "UTC")))


def known(rows: pl.LazyFrame) -> datetime:
    return sources.flights_times(rows).collect()["known_timestamp"].item()


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, utc(2013, 7, 2, 9, 10)),
        ({"dep_delay": 1500, "arr_delay": 1490}, utc(2013, 7, 3, 10, 0)),
        ({"dep_time": None, "dep_delay": None, "arr_time": None, "arr_delay": None}, utc(2013, 7, 2, 3, 30)),
        ({"arr_time": None, "arr_delay": None}, utc(2013, 7, 2, 9, 10)),
        ({"arr_time": 815, "arr_delay": None}, utc(2013, 7, 2, 15, 15)),
        ({"arr_time": None, "arr_delay": None, "dep_delay": 900}, utc(2013, 7, 2, 18, 30)),
        ({"dest": "HNL", "sched_arr_time": 2400}, utc(2013, 7, 2, 10, 0)),
        ({"dest": "???"}, utc(2013, 7, 2, 12, 10)),
    ],
    ids=[
        "arrived",
        "a day late",
        "cancelled",
        "diverted",
        "diverted, landed",
        "diverted, left late",
        "2400",
        "unknown",
    ],
)
def test_a_flight_is_known_with_its_last_fact(values: dict[str, object], expected: datetime) -> None:
    assert known(flight(**values)) == expected


@pytest.mark.parametrize(
    ("hour", "clock", "expected"),
    [
        (utc(2013, 3, 10, 6), 330, utc(2013, 3, 10, 7, 30)),
        (utc(2013, 3, 10, 6), 230, utc(2013, 3, 10, 7, 30)),
        (utc(2013, 11, 3, 4), 130, utc(2013, 11, 3, 6, 30)),
    ],
    ids=["after the skipped hour", "in the skipped hour", "in the repeated hour"],
)
def test_arrivals_on_the_days_the_clock_changes(hour: datetime, clock: int, expected: datetime) -> None:
    assert known(flight(dest="BOS", time_hour=hour, minute=0, dep_time=0, sched_arr_time=clock)) == expected


def test_every_real_flight_has_both_times_and_lands_after_it_left(all_flights: pl.DataFrame) -> None:
    lag = all_flights["known_timestamp"] - all_flights["event_timestamp"]
    assert lag.null_count() == 0
    assert lag.min() == timedelta(0)
    assert timedelta(hours=24) < lag.max() < timedelta(hours=40)
    arrived = all_flights.lazy().filter(pl.col("arr_delay").is_not_null())
    taxi = (times.actual_arrival() - times.actual_departure()).dt.total_minutes() - pl.col("air_time")
    assert arrived.select(taxi.min()).collect().item() >= 5


def test_the_arrival_agrees_with_the_clock_at_the_destination(all_flights: pl.DataFrame) -> None:
    zone_rows = all_flights.filter(pl.col("dest") == "LAX", pl.col("arr_delay").is_not_null())
    local = times.actual_arrival().dt.convert_time_zone("America/Los_Angeles")
    clock = local.dt.hour().cast(pl.Int64) * 100 + local.dt.minute().cast(pl.Int64)
    assert zone_rows.filter(clock != pl.col("arr_time") % 2400).height == 0


def test_zones_are_those_of_the_airport_register(all_flights: pl.DataFrame) -> None:
    airports = upstream.read_table(upstream.find_data(), "airports")
    register = dict(airports.select("faa", "tzone").iter_rows())
    destinations = set(all_flights["dest"].unique())
    assert destinations == set(zones.ZONE_OF_AIRPORT)
    absent = {"BQN", "PSE", "SJU", "STT"}
    assert destinations - set(register) == absent
    assert all(zones.ZONE_OF_AIRPORT[code] == register[code] for code in destinations - absent)


def test_weather_is_known_after_its_hour_and_schedules_a_day_ahead() -> None:
    hour = utc(2013, 7, 2, 3)
    rows = flight(time_hour=hour)
    assert sources.weather_times(rows).collect()["known_timestamp"].item() == hour + timedelta(hours=1)
    scheduled = sources.schedule_times(rows).collect()
    assert scheduled["event_timestamp"].item() == hour + timedelta(minutes=30)
    assert scheduled["known_timestamp"].item() == hour - timedelta(hours=23, minutes=30)


@pytest.mark.parametrize("function", [sources.planes_times, sources.airports_times, sources.airlines_times])
def test_registers_are_known_before_the_first_flight(function) -> None:
    row = function(pl.LazyFrame({"name": ["x"]})).collect()
    assert row["event_timestamp"].item() == row["known_timestamp"].item() < utc(2013, 1, 1)
    assert row.schema["known_timestamp"] == pl.Datetime("us", "UTC")
