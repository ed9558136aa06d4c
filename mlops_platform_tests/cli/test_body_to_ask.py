"""The request that `mlops serve` shows: of what comes next, with values that are no secret."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from mlops_platform.cli.body_to_ask import body_to_ask
from mlops_platform.resources.home import Home
from mlops_platform.serving.live import LiveModel
from mlops_platform.spec import Project
from mlops_platform_tests.lineage.pumps.functions import planned
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT


def planned_twice(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Two questions of each planned inspection."""
    second = [pl.col("inspection_id") + "-before", pl.col("event_timestamp") - timedelta(hours=1)]
    return pl.concat([planned(rows), planned(rows).with_columns(*second)])


@pytest.fixture
def live(pumps_home: Path) -> Iterator[LiveModel]:
    found = LiveModel(Home(pumps_home), PROJECT, MODEL, every=None)
    yield found
    found.close()


def test_a_row_is_shown_where_it_makes_one_question(pumps_home: Path, live: LiveModel) -> None:
    assert body_to_ask(Home(pumps_home), PROJECT, MODEL.name, live) == {
        "rows": [{"pump": "P0", "at": "2024-05-10T06:00:00Z"}]
    }


def test_an_example_is_shown_where_a_row_makes_several(pumps_home: Path, live: LiveModel) -> None:
    examples = replace(MODEL.examples, upcoming=f"{__name__}:planned_twice")
    project: Project = replace(PROJECT, models=(replace(MODEL, examples=examples),))
    assert body_to_ask(Home(pumps_home), project, MODEL.name, live) == {
        "entities": [
            {"pump": "P0", "weekday": 5, "id": "P0-20240510-before", "event_timestamp": "2024-05-10T06:00:00Z"}
        ]
    }  # fmt: skip
