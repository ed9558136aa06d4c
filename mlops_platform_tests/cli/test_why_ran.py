"""``mlops why-ran`` names the part of the key that changed, or says that nothing did."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from mlops_platform.resources.home import Home
from mlops_platform_tests.cli.conftest import Outcome
from mlops_platform_tests.lineage.pumps.project import PROJECT, READINGS
from mlops_platform_tests.lineage.run import materialize

Use = Callable[[Path], Home]
RAW = 'key:"pumps/raw/readings"'


def test_a_station_made_once_says_so(pumps_home: Path, use_home: Use, mlops: Callable[..., Outcome]) -> None:
    use_home(pumps_home)
    out = mlops("why-ran", "pump_repair/dataset").out
    assert out.startswith("pumps/pump_repair/dataset  dataset ")
    assert "made; it had not been made before" in out


def test_what_changed_is_named_and_stays_named_after_a_hit(
    pumps_copy: Home, use_home: Use, mlops: Callable[..., Outcome]
) -> None:
    use_home(pumps_copy.path)
    columns = tuple(replace(c, maximum=1000) if c.name == "temperature" else c for c in READINGS.columns)
    project = replace(PROJECT, raw_tables=(replace(READINGS, columns=columns), *PROJECT.raw_tables[1:]))
    extra = pl.read_parquet(pumps_copy.landing / "readings" / "readings-2024-05.parquet").head(1)
    extra.with_columns(pump=pl.lit("P9")).write_parquet(pumps_copy.landing / "readings" / "new-pump.parquet")
    for _ in range(2):
        assert materialize(pumps_copy, project, RAW).success
    out = mlops("why-ran", "pumps/raw/readings").out.splitlines()
    assert "asked last" in out[1] and out[1].endswith("memo hit; nothing changed")
    assert "made last" in out[2] and out[2].endswith("made; changed: configuration (1), input (1)")
    assert out[3] == "  configuration columns.2.maximum: 300 -> 1000"
    assert out[4].startswith("  input ") and " none -> " in out[4]
    told = json.loads(mlops("why-ran", "raw/readings", "--json").out)
    assert told["last"]["memo"] == "hit" and told["last"]["changed"] == []
    assert told["made"]["changed"][0] == {
        "part": "configuration", "name": "columns.2.maximum", "before": "300", "now": "1000"
    }  # fmt: skip


@pytest.mark.parametrize("name", ["nothing", "pumps/nothing/dataset"])
def test_an_unknown_station_is_a_mistake(pumps_home: Path, use_home: Use, mlops: Callable, name: str) -> None:
    use_home(pumps_home)
    ended = mlops("why-ran", name)
    assert ended.code == 2 and "pump_repair/dataset" in ended.err


def test_a_station_that_never_ran_is_a_mistake(home: Home, mlops: Callable[..., Outcome]) -> None:
    ended = mlops("why-ran", "raw/plan")
    assert ended.code == 2 and "stands for nothing yet" in ended.err
