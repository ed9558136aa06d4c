"""New files ask for one run, once they have stopped growing."""

from collections.abc import Callable

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData

from mlops_platform.resources.home import Home
from mlops_platform.sources.sensors import landing_sensor
from mlops_platform_tests.lineage.pumps.project import PROJECT

SENSOR = landing_sensor(PROJECT, "pumps_everything")


def tick(cursor: str | None) -> SensorExecutionData:
    return SENSOR.evaluate_tick(dg.build_sensor_context(cursor=cursor))


def land(home: Home, name: str, value: int) -> None:
    folder = home.landing / "readings"
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({"value": [value]}).write_parquet(folder / name)


@pytest.fixture
def landed(home: Home, use_home: Callable) -> Home:
    use_home(home.path)
    land(home, "a.parquet", 1)
    return home


def test_an_empty_landing_asks_nothing(home: Home, use_home: Callable) -> None:
    use_home(home.path)
    assert tick(None).skip_message == "nothing new has landed"


def test_a_file_is_asked_for_once_it_has_settled(landed: Home) -> None:
    first = tick(None)
    assert (first.run_requests, first.skip_message) == ([], "files are arriving")
    second = tick(first.cursor)
    (request,) = second.run_requests or []
    assert request.tags["mlops/new_files"] == "1"
    assert tick(second.cursor).skip_message == "nothing new has landed"


def test_a_growing_file_waits(landed: Home) -> None:
    first = tick(None)
    land(landed, "a.parquet", 22)
    assert tick(first.cursor).skip_message == "files are arriving"


def test_the_same_content_has_the_same_run_key(landed: Home) -> None:
    first = tick(tick(None).cursor)
    land(landed, "b.parquet", 1)
    arriving = tick(first.cursor)
    again = tick(arriving.cursor)
    assert [r.run_key for r in again.run_requests or []] == [r.run_key for r in first.run_requests or []]
