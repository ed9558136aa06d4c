"""A plan says what a run would do and why, and does nothing."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from mlops_platform.cli.execution import Graph
from mlops_platform.cli.outline import outline
from mlops_platform.cli.planning import FAILS, MAY_RUN, RUNS, TAKEN, Step, plan
from mlops_platform.resources.home import Home
from mlops_platform.spec import Project
from mlops_platform_tests.cli.conftest import Outcome
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT, READINGS

Use = Callable[[Path], Home]


@pytest.fixture
def made(pumps_home: Path, use_home: Use) -> Home:
    """The shared home, which these tests only read."""
    return use_home(pumps_home)


def planned(project: Project, home: Home, selection: str = "*") -> dict[str, Step]:
    graph = Graph.load(project)
    return {step.station.removeprefix("pumps/"): step for step in plan(graph, home, graph.select(selection))}


def states(steps: dict[str, Step]) -> dict[str, set[str]]:
    return {state: {n for n, s in steps.items() if s.state == state} for state in {s.state for s in steps.values()}}


def test_everything_stands_after_a_run_and_planning_writes_nothing(made: Home) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.path.rglob("*") if path.is_file()}
    steps = planned(PROJECT, made)
    assert {step.state for step in steps.values()} == {TAKEN} and all(step.stands for step in steps.values())
    assert len(steps) == len(outline(PROJECT)) - 1
    after = {path: path.stat().st_mtime_ns for path in made.path.rglob("*") if path.is_file()}
    assert {path for path in {*before, *after} if before.get(path) != after.get(path)} <= _of_readers(made)


def _of_readers(home: Home) -> set[Path]:
    """Files that reading writes too: SQLite's own, and MLflow's lock."""
    return {path for path in home.path.rglob("*") if path.name.endswith(("-wal", "-shm", ".lock"))}


def test_an_empty_home_would_run_or_fail_and_says_why(home: Home, use_home: Use) -> None:
    use_home(home.path)
    steps = planned(PROJECT, home)
    assert steps["raw/readings"].state == FAILS and "at least one Parquet file" in steps["raw/readings"].why[0]
    assert steps["feast/registry"].state == RUNS and steps["feast/registry"].why == ("it was never made",)


def test_planning_makes_no_home(tmp_path: Path, use_home: Use) -> None:
    home = use_home(tmp_path / "nowhere")
    assert planned(PROJECT, home)["pump_repair/dataset"].state in (RUNS, FAILS)
    assert not home.path.exists()


def test_a_landed_file_would_run_its_table_and_perhaps_what_follows(pumps_copy: Home, use_home: Use) -> None:
    use_home(pumps_copy.path)
    pl.DataFrame({"pump": ["P9"]}).write_parquet(pumps_copy.landing / "readings" / "late.parquet")
    steps = planned(PROJECT, pumps_copy)
    found = states(steps)
    assert found[RUNS] == {"raw/readings"}
    assert found[TAKEN] == {"feast/registry", "raw/inspections", "raw/plan"}
    assert steps["features/pump_state"].why == ("upstream raw/readings would run",)
    (difference,) = steps["raw/readings"].changed
    assert (difference.part, difference.before) == ("input", None)


def test_a_changed_setting_would_run_the_stations_that_read_it(made: Home) -> None:
    model = replace(MODEL, network=replace(MODEL.network, epochs=41, seed=MODEL.network.seed + 1))
    steps = planned(replace(PROJECT, models=(model,)), made)
    assert states(steps)[RUNS] == {"pump_repair/checkpoint"}
    assert "configuration network.epochs: 40 -> 41" in steps["pump_repair/checkpoint"].why
    assert any(why.startswith("configuration network.seed: ") for why in steps["pump_repair/checkpoint"].why)
    assert steps["pump_repair/evaluation"].why == ("upstream pump_repair/checkpoint would run",)


def test_a_rule_of_a_column_is_named(made: Home) -> None:
    columns = tuple(replace(c, maximum=1000) if c.name == "temperature" else c for c in READINGS.columns)
    tables = (replace(READINGS, columns=columns), *PROJECT.raw_tables[1:])
    steps = planned(replace(PROJECT, raw_tables=tables), made, 'key:"pumps/raw/readings"')
    assert steps["raw/readings"].why == ("configuration columns.2.maximum: 300 -> 1000",)


def test_what_lies_outside_the_store_and_is_gone_would_run(pumps_copy: Home, use_home: Use) -> None:
    use_home(pumps_copy.path)
    (pumps_copy.feast / "registry.db").unlink()
    step = planned(PROJECT, pumps_copy, 'key:"pumps/feast/registry"')["feast/registry"]
    assert (step.state, step.why) == (RUNS, ("what it left outside the store is gone or differs",))


def test_the_command_prints_a_line_a_station_and_json(made: Home, mlops: Callable[..., Outcome]) -> None:
    lines = mlops("plan").out.splitlines()
    assert len(lines) == len(outline(PROJECT))
    assert all(line.endswith("would be taken (memo)") for line in lines[:-1])
    assert lines[-1] == "16 stations: 16 would be taken"
    found = json.loads(mlops("plan", "--json", "--select", 'key:"pumps/raw/plan"').out)["stations"]
    assert [(step["station"], step["state"], step["why"]) for step in found] == [("pumps/raw/plan", TAKEN, [])]


def test_the_command_gives_reasons(pumps_copy: Home, mlops: Callable[..., Outcome]) -> None:
    os.utime(next((pumps_copy.landing / "plan").iterdir()))
    (pumps_copy.landing / "readings" / "late.parquet").write_bytes(b"no parquet")
    out = mlops("plan").out
    assert "raw/readings                  would run: input " in out
    assert "features/pump_state           may run: upstream raw/readings would run" in out
    assert "1 would run, 12 may run, 3 would be taken" in out
    assert MAY_RUN in out
