"""What the congestion model is asked, and the answers."""

from datetime import UTC, datetime, timedelta

import polars as pl
from polars.testing import assert_frame_equal

from mlops_platform.projects.flights import sources, upstream
from mlops_platform.projects.flights.congestion import examples
from mlops_platform.projects.flights.features import LONGEST_DELAY

HOUR = timedelta(hours=1)


def asked_of(flights: pl.DataFrame) -> pl.DataFrame:
    return examples.labelled(flights.lazy()).collect()


def schedule_of(flights: pl.DataFrame) -> pl.LazyFrame:
    timed = sources.schedule_times(flights.select(upstream.SCHEDULE_COLUMNS).lazy())
    return timed.with_columns(_file=pl.lit("s"), _row=pl.int_range(pl.len()))


def test_each_step_is_the_mean_delay_of_the_flights_scheduled_in_its_hour(flights: pl.DataFrame) -> None:
    for row in asked_of(flights).sample(40, seed=0).iter_rows(named=True):
        for step in range(examples.HORIZON):
            hour = row["event_timestamp"] + step * HOUR
            there = flights.filter(origin=row["origin"]).filter(pl.col("time_hour") == hour)
            assert row[f"scheduled_{step + 1}"] == there.height
            if row["label"] is not None:
                mean = there["dep_delay"].drop_nulls().cast(pl.Float64).mean()
                expected = None if mean is None else pl.Series([mean]).cast(pl.Float32)[0]
                assert row["label"][step] == expected


def test_hours_without_departures_are_null_elements_and_rows_without_all_of_their_hours_have_no_label(
    flights: pl.DataFrame,
) -> None:
    found = asked_of(flights)
    last = flights["time_hour"].max()
    assert isinstance(last, datetime)
    over = found.filter(pl.col("event_timestamp") + 5 * HOUR <= last)
    assert over["label"].null_count() == 0 and over["label"].explode().null_count() > 0
    rest = found.filter(pl.col("event_timestamp") + 5 * HOUR > last)
    assert 0 < rest.height == rest["label"].null_count()
    assert set(rest["unlabelled"]) == {"not_over"} and over["unlabelled"].null_count() == over.height


def test_a_label_is_known_only_when_its_latest_flight_has_left(all_flights: pl.DataFrame) -> None:
    """Whatever the cut-off, of the flights behind a label that was known none is still to come."""
    found = asked_of(all_flights)
    assert (found["label_known_timestamp"] - found["event_timestamp"]).drop_nulls().min() == 6 * HOUR + LONGEST_DELAY
    cut = datetime(2013, 7, 10, 12, tzinfo=UTC)
    then = asked_of(all_flights.filter(pl.col("known_timestamp") < cut)).filter(pl.col("label_known_timestamp") < cut)
    now = found.filter(pl.col("label_known_timestamp") < cut)
    assert_frame_equal(then, now, check_exact=True)


def test_schedules_are_asked_what_flights_are_asked(flights: pl.DataFrame) -> None:
    training = asked_of(flights).drop(examples.LABEL_COLUMNS)
    predicting = examples.unlabelled_schedule(schedule_of(flights)).collect()
    assert_frame_equal(training, predicting, check_exact=True)


def test_a_correction_counts_from_when_it_is_known(flights: pl.DataFrame) -> None:
    first = flights.filter(pl.col("dep_delay").is_not_null()).sort("time_hour").head(1)
    late = datetime(2013, 4, 1, tzinfo=UTC)
    correction = first.with_columns(
        dep_delay=pl.col("dep_delay") + 100, known_timestamp=pl.lit(late, dtype=pl.Datetime("us", "UTC")),
        _file=pl.lit("b"),
    )  # fmt: skip
    before, after = asked_of(flights), asked_of(pl.concat([flights, correction]))
    changed = after.filter(after["label"] != before["label"])
    assert 0 < changed.height <= examples.HORIZON
    assert set(changed["label_known_timestamp"]) == {late}


def test_hours_are_local_and_of_the_week(flights: pl.DataFrame) -> None:
    (row,) = asked_of(flights).filter(hour_id="2013-02-26T15:00Z-EWR").iter_rows(named=True)
    # A Tuesday, ten in the morning in New York.
    assert (row["hour_of_day"], row["hour_of_week"]) == (10, 34)
