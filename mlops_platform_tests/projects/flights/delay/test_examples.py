"""What the model is asked, and the answers."""

from datetime import timedelta

import polars as pl
from polars.testing import assert_frame_equal

from mlops_platform.projects.flights import sources, upstream
from mlops_platform.projects.flights.delay import examples


def schedule_of(flights: pl.DataFrame) -> pl.LazyFrame:
    timed = sources.schedule_times(flights.select(upstream.SCHEDULE_COLUMNS).lazy())
    return timed.with_columns(_file=pl.lit("s"), _row=pl.int_range(pl.len()))


def test_every_flight_is_asked_once_and_none_is_dropped(all_flights: pl.DataFrame) -> None:
    asked = examples.labelled(all_flights.lazy()).collect()
    assert asked["flight_id"].n_unique() == asked.height == all_flights.height
    counts = dict(asked["unlabelled"].value_counts().iter_rows())
    assert counts == {None: 327346, "cancelled": 8255, "diverted": 1175}
    assert asked["label"].null_count() == asked["label_known_timestamp"].null_count() == 8255 + 1175
    known = asked.filter(pl.col("label").is_not_null())
    lead = (known["label_known_timestamp"] - known["event_timestamp"]).min()
    assert lead > examples.LEAD


def test_the_id_names_the_flight(flights: pl.DataFrame) -> None:
    asked = examples.labelled(flights.lazy()).sort("event_timestamp", "flight_id").collect().row(0, named=True)
    assert asked["flight_id"].startswith("2013-02-26T")
    departure = asked["event_timestamp"] + examples.LEAD
    assert asked["flight_id"] == f"{departure:%Y-%m-%dT%H:%MZ}-{asked['flight_number']}-{asked['origin']}"
    assert asked["route"] == f"{asked['origin']}-{asked['dest']}"


def test_schedules_are_asked_what_flights_are_asked(flights: pl.DataFrame) -> None:
    training = examples.labelled(flights.lazy()).drop(examples.LABEL_COLUMNS).sort("flight_id").collect()
    predicting = examples.unlabelled_schedule(schedule_of(flights)).sort("flight_id").collect()
    assert_frame_equal(training, predicting, check_exact=True)


def test_the_context_is_in_its_units(all_flights: pl.DataFrame) -> None:
    asked = examples.unlabelled_schedule(schedule_of(all_flights)).collect()
    context = asked.select(examples.CONTEXT_COLUMNS)
    assert sum(context.null_count().row(0)) == 0
    assert context["scheduled_minutes"].min() == 50
    assert context["scheduled_minutes"].max() == 700
    assert context["departure_minute"].is_between(0, 1439).all()
    angles = [column for column in context.columns if column.endswith(("_sin", "_cos"))]
    assert all(context[column].is_between(-1, 1).all() for column in angles)
    assert context["day_of_week"].is_between(1, 7).all()


def test_the_newest_version_of_a_flight_counts(flights: pl.DataFrame) -> None:
    arrived = flights.filter(pl.col("arr_delay").is_not_null()).head(1)
    correction = arrived.with_columns(
        arr_delay=pl.lit(99, dtype=pl.Int64),
        known_timestamp=pl.col("known_timestamp") + timedelta(days=3),
        _file=pl.lit("b"),
    )
    asked = examples.labelled(pl.concat([correction, arrived]).lazy()).collect()
    assert asked.height == 1
    assert asked["label"].item() == 1
    assert asked["label_known_timestamp"].item() == correction["known_timestamp"].item()
