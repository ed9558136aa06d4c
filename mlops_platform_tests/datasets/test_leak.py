"""The leak check finds the leak of a naive join on scheduled time, and finds none in the pipeline."""

from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest

from mlops_platform.datasets.leak import LeakReport, check_leak
from mlops_platform.projects.flights import sources, upstream
from mlops_platform.projects.flights.delay.examples import labelled
from mlops_platform.projects.flights.project import PROJECT
from mlops_platform.spec import Project, columns

NAIVE = "mlops_platform_tests.datasets.leaking:origin_delays"
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
    model = replace(PROJECT.models[0], features=("origin_delays",), categories=("origin",), slices=())
    return replace(PROJECT, feature_tables=(table,), models=(model,))


def check(flights: pl.LazyFrame, project: Project) -> LeakReport:
    return check_leak(project, project.models[0], labelled(flights).collect(), {"flights": flights}, AT)


def test_the_naive_join_leaks(flights: pl.LazyFrame) -> None:
    report = check(flights, one_table(NAIVE))
    assert report.rows > 100 and report.changed_facts > 100
    assert report.leaking["origin_delays:departure_delay_3h"] > 10


def test_the_pipeline_does_not(flights: pl.LazyFrame) -> None:
    report = check(flights, one_table(PROJECT.feature_table("origin_delays").compute))
    assert report.rows > 100 and report.changed_facts > 100 and report.leaking == {}
