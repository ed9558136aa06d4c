"""Rolling statistics: exact, corrected and without a leak."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from mlops_platform.projects.flights import facts, features, sources, upstream

START = datetime(2013, 2, 1, tzinfo=UTC)
TABLES = {
    "origin": features.origin_delays,
    "carrier": features.carrier_delays,
    "carrier_origin": features.carrier_origin_delays,
    "destination": features.destination_delays,
    "aircraft": features.aircraft_delays,
}

flight_rows = st.fixed_dictionaries(
    {
        "due": st.integers(0, 3000),
        "dep_delay": st.one_of(st.none(), st.integers(-30, 200)),
        "arr_delay": st.one_of(st.none(), st.integers(-30, 200)),
        "corrections": st.lists(st.tuples(st.integers(1, 3000), st.integers(-30, 200)), max_size=2),
    }
)


def raw_rows(drawn: list[dict]) -> pl.DataFrame:
    """Flights of one airline from EWR to ORD; each correction is a later version that says another delay."""
    rows = []
    for number, flight in enumerate(drawn):
        due = START + timedelta(minutes=flight["due"])
        left = flight["dep_delay"] is not None
        row = {
            "carrier": "UA", "flight": number, "origin": "EWR", "dest": "ORD", "tailnum": "N1" if left else None,
            "time_hour": due.replace(minute=0), "minute": due.minute, "dep_time": 1 if left else None,
            "dep_delay": flight["dep_delay"], "arr_time": None, "sched_arr_time": 1200,
            "arr_delay": flight["arr_delay"] if left else None, "wait": 0,
        }  # fmt: skip
        rows.append(row)
        for wait, delay in flight["corrections"] if left else []:
            rows.append({**row, "wait": rows[-1]["wait"] + wait, "dep_delay": delay, "arr_delay": delay})
    integers = dict.fromkeys(("dep_time", "dep_delay", "arr_time", "arr_delay"), pl.Int64)
    frame = pl.DataFrame(rows, schema_overrides={**integers, "tailnum": pl.String}, infer_schema_length=None)
    frame = frame.with_columns(pl.col("time_hour").cast(pl.Datetime("us", "UTC")))
    timed = sources.flights_times(frame.lazy()).with_columns(_file=pl.lit("a"), _row=pl.int_range(pl.len()))
    first = pl.col("known_timestamp").first().over(facts.FLIGHT_KEY)
    corrected = pl.when(pl.col("wait") > 0).then(first + pl.duration(minutes="wait")).otherwise("known_timestamp")
    return timed.with_columns(known_timestamp=corrected).collect()


def oracle(flights: pl.DataFrame, tick: datetime, window: timedelta) -> dict[str, int]:
    """The sums at one tick by brute force, in plain Python: for each flight, the newest version known at the tick."""
    sums = dict.fromkeys(facts.MEASURES, 0)
    up = facts.next_tick
    started = facts.flight_facts(flights.lazy()).with_columns(
        start=up(pl.col("start")), gone=up(pl.col("event") + window), replaced=up(pl.col("known_timestamp"))
    )
    every_fact = started.collect().to_dicts()
    for fact in every_fact:
        newer = [other for other in every_fact if other["flight"] == fact["flight"] and other["_row"] > fact["_row"]]
        replaced = any(other["replaced"] <= tick for other in newer)
        if fact["start"] <= tick < fact["gone"] and not replaced:
            sums = {measure: total + fact[measure] for measure, total in sums.items()}
    return sums


@settings(max_examples=15, deadline=None)
@given(st.lists(flight_rows, min_size=1, max_size=6))
def test_rolling_sums_equal_brute_force_with_corrections(drawn: list[dict]) -> None:
    flights = raw_rows(drawn)
    windows = {"3h": timedelta(hours=3), "24h": timedelta(hours=24)}
    found = facts.rolling_sums(facts.flight_facts(flights.lazy()), ["origin"], windows, facts.MEASURES).collect()
    assert found["time"].is_unique().all()
    for row in found.sample(min(found.height, 4), seed=0).iter_rows(named=True):
        for name, window in windows.items():
            expected = oracle(flights, row["time"], window)
            assert {measure: row[f"{measure}_{name}"] for measure in facts.MEASURES} == expected
    last = found.sort("time").tail(1).select(pl.exclude("origin", "time"))
    assert set(last.row(0)) == {0}, "everything leaves its windows in the end"


def test_a_tick_never_shows_a_fact_early(flights: pl.DataFrame) -> None:
    start = pl.col("start")
    late = facts.flight_facts(flights.lazy()).select((facts.next_tick(start) - start).alias("late")).collect()["late"]
    assert timedelta(0) <= late.min() <= late.max() < facts.GRID


def changed_after(flights: pl.DataFrame, moment: datetime) -> pl.DataFrame:
    """The same flights with every fact that was known after a moment made absurd."""
    cut = pl.lit(moment, dtype=pl.Datetime("us", "UTC"))
    arrival_open = pl.col("known_timestamp") > cut
    departure_open = facts.departure_known() > cut
    open_first = flights.with_columns(
        arr_delay=pl.when(arrival_open & pl.col("arr_delay").is_not_null()).then(777).otherwise("arr_delay"),
        dep_delay=pl.when(departure_open & pl.col("dep_delay").is_not_null()).then(555).otherwise("dep_delay"),
    )
    return sources.flights_times(open_first.lazy()).collect()


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("hour", [3, 14, 22])
def test_what_is_known_later_changes_nothing_before(flights: pl.DataFrame, table: str, hour: int) -> None:
    moment = datetime(2013, 3, 1, hour, 7, tzinfo=UTC)
    order = TABLES[table](flights.lazy()).collect().columns
    keys = order[: order.index("event_timestamp") + 1]

    def before(rows: pl.DataFrame) -> pl.DataFrame:
        return TABLES[table](rows.lazy()).filter(pl.col("event_timestamp") <= moment).sort(keys).collect()

    changed = changed_after(flights, moment)
    assert not changed.equals(flights)
    assert_frame_equal(before(flights), before(changed), check_exact=True)


@settings(max_examples=15, deadline=None)
@given(st.lists(flight_rows, min_size=1, max_size=6), st.integers(0, 4000))
def test_a_later_version_changes_nothing_before(drawn: list[dict], minute: int) -> None:
    flights = raw_rows(drawn)
    moment = START + timedelta(minutes=minute)
    arrived_by_then = flights.filter(pl.col("known_timestamp") <= moment)
    still_open = flights.filter(pl.col("_row").rank().over(facts.FLIGHT_KEY) == 1, pl.col("known_timestamp") > moment)
    fewer = pl.concat([arrived_by_then, still_open])

    def before(rows: pl.DataFrame) -> pl.DataFrame:
        table = features.origin_delays(rows.lazy()).collect()
        return table.filter(pl.col("event_timestamp") <= moment).sort("event_timestamp")

    every, few = before(flights), before(fewer)
    # A correction that is still to come leaves no trace, not even a row.
    assert_frame_equal(every, few, check_exact=True)


@pytest.mark.parametrize("table", TABLES)
def test_a_month_alone_equals_that_month_of_everything(all_flights: pl.DataFrame, table: str) -> None:
    start, end = datetime(2013, 4, 1, tzinfo=UTC), datetime(2013, 5, 1, tzinfo=UTC)
    part = all_flights.filter(pl.col("dest").is_in(["ORD", "SJU"]))
    near = part.filter(pl.col("event_timestamp") >= start - features.LOOKBACK, pl.col("event_timestamp") < end)
    order = TABLES[table](part.lazy()).collect_schema().names()
    keys = order[: order.index("event_timestamp") + 1]

    def month(rows: pl.DataFrame) -> pl.DataFrame:
        found = TABLES[table](rows.lazy()).collect()
        return found.filter(pl.col("event_timestamp") >= start, pl.col("event_timestamp") < end).sort(keys)

    assert_frame_equal(month(part), month(near), check_exact=True)


def test_weather_is_cleaned_row_by_row() -> None:
    rows = upstream.read_table(upstream.find_data(), "weather").head(3000)
    weather = features.origin_weather(sources.weather_times(rows.lazy())).collect()
    assert weather.height == rows.height
    assert rows["wind_speed"].max() > 1000
    assert weather["wind_speed"].max() < 60
    assert weather["wind_gust"].null_count() == 0
    assert set(weather.select(pl.selectors.float()).dtypes) == {pl.Float32}


def test_aircraft_come_from_the_register() -> None:
    rows = upstream.read_table(upstream.find_data(), "planes")
    planes = features.aircraft(sources.planes_times(rows.lazy())).collect()
    assert planes["tailnum"].is_unique().all()
    assert planes["built"].null_count() == 70
