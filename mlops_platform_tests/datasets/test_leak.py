"""The leak check finds the leak of a naive join on scheduled time, and finds none in the pipeline."""

from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest

from mlops_platform.datasets.leak import dataset_leak
from mlops_platform.point_in_time import LeakReport
from mlops_platform.projects.flights import sources, upstream
from mlops_platform.projects.flights.delay.examples import labelled
from mlops_platform.projects.flights.project import PROJECT
from mlops_platform.spec import Project, columns

NAIVE = "mlops_platform_tests.datasets.leaking:origin_delays"
DELAY = "origin_delays__departure_delay_3h"
AT = datetime(2013, 3, 8, 20, tzinfo=UTC)  # a day of snow: many flights left hours late


@pytest.fixture(scope="module")
def flights() -> pl.LazyFrame:
    rows = upstream.read_table(upstream.find_data(), "flights").filter(pl.col("month") == 3, pl.col("day") < 12)
    return (
        sources.flights_times(rows.lazy()).with_columns(_file=pl.lit("a"), _row=pl.int_range(pl.len())).collect().lazy()
    )


def one_table(compute: str) -> Project:
    """The flights project with just the delays of an origin, computed so."""
    table = replace(
        PROJECT.feature_table("origin_delays"), compute=compute, columns=columns("float32", "departure_delay_3h")
    )
    gate = replace(PROJECT.models[0].gate, slice_margins={})
    model = replace(PROJECT.models[0], features=("origin_delays",), categories=("origin",), slices=(), gate=gate)
    return replace(PROJECT, feature_tables=(table,), models=(model,))


def check(flights: pl.LazyFrame, project: Project, examples: pl.DataFrame) -> LeakReport:
    return dataset_leak(project, project.models[0], examples, {"flights": flights}, AT)


def test_the_naive_join_leaks(flights: pl.LazyFrame) -> None:
    report = check(flights, one_table(NAIVE), labelled(flights).collect())
    assert report.rows > 100 and report.changed_facts > 100
    assert report.leaking[DELAY] > 10
    leak = report.examples[DELAY]
    assert leak.row["origin"] in ("EWR", "JFK", "LGA") and leak.row["event_timestamp"] <= AT
    assert leak.before != leak.after


def test_the_pipeline_does_not(flights: pl.LazyFrame) -> None:
    report = check(flights, one_table(PROJECT.feature_table("origin_delays").compute), labelled(flights).collect())
    assert report.rows > 100 and report.changed_facts > 100 and report.leaking == {}


@pytest.mark.parametrize("value", [1.5, None])
def test_features_made_of_more_history_are_no_leak(flights: pl.LazyFrame, value: float | None) -> None:
    """Where the dataset's own features differ from those of the raw rows just before T, these are compared."""
    examples = labelled(flights).collect().with_columns(pl.lit(value, dtype=pl.Float32).alias(DELAY))
    assert check(flights, one_table(NAIVE), examples).leaking[DELAY] > 10
    sound = one_table(PROJECT.feature_table("origin_delays").compute)
    assert check(flights, sound, examples).leaking == {}


def test_other_rows_of_a_flight_are_unknown_as_long_as_their_facts(flights: pl.LazyFrame) -> None:
    rows = flights.collect()
    changed = sources.flights_perturbed(rows.lazy(), AT).collect()
    late = rows["known_timestamp"] > AT
    assert changed.filter(~late).equals(rows.filter(~late))
    known = sources.flights_times(changed.filter(late).lazy()).select("known_timestamp").collect().to_series()
    assert (changed.filter(late)["known_timestamp"] >= known).all()
