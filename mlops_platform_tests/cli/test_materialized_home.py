"""The commands on the pumps project, materialized whole."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from mlops_platform.cli import landing
from mlops_platform.cli.execution import Graph
from mlops_platform.cli.graph import upstreams
from mlops_platform.cli.outline import outline
from mlops_platform.cli.standing import FRESH, STALE, standings
from mlops_platform.cli.why_tree import newest
from mlops_platform.resources import memo
from mlops_platform.resources.home import Home
from mlops_platform.resources.source_code import SourceClosure
from mlops_platform_tests.cli.conftest import Outcome
from mlops_platform_tests.lineage.pumps.project import PROJECT

Use = Callable[[Path], Home]

WHOLE = len(outline(PROJECT)) - 1
"""Stations of the whole graph, without what works by itself once a day."""


@pytest.fixture
def made(pumps_home: Path, use_home: Use) -> Home:
    """The shared home, which these tests only read."""
    return use_home(pumps_home)


def test_the_outline_has_the_stations_of_the_graph_in_flow_order() -> None:
    rooms = Graph.load(PROJECT).rooms
    planned = outline(PROJECT)
    assert {plan.station: plan.room for plan in planned} == dict(rooms)
    places = {plan.station: place for place, plan in enumerate(planned)}
    for station, parents in upstreams(PROJECT).items():
        assert all(places[parent] < places[station] for parent in parents), station


def test_nothing_is_stale_right_after_a_run(made: Home) -> None:
    """This also holds the outline's code references to those of the assets."""
    assert {found.station: found.why for found in standings(PROJECT, made) if found.state != FRESH} == {
        "pumps/pump_repair/live_skew": ()
    }


def test_a_landed_file_makes_everything_after_it_stale(pumps_copy: Home) -> None:
    pl.DataFrame({"pump": ["P9"]}).write_parquet(pumps_copy.landing / "readings" / "late.parquet")
    found = {each.station: each for each in standings(PROJECT, pumps_copy)}
    assert found["pumps/raw/readings"].why == ("1 file landed and not ingested",)
    assert not found["pumps/raw/readings"].in_turn
    assert found["pumps/pump_repair/predictions"].in_turn
    assert found["pumps/raw/inspections"].state == FRESH


def test_changed_code_and_software_are_named(
    made: Home, mlops: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = memo.closure

    def changed(*references: str) -> SourceClosure:
        found = real(*references)
        if "mlops_platform.training.program.fit:train" not in references:
            return found
        return replace(found, parts={"m:f": "sha256:0"}, distributions={**found.distributions, "torch": "99"})

    monkeypatch.setattr(memo, "closure", changed)
    found = {each.station: each for each in standings(PROJECT, made)}
    why = found["pumps/pump_repair/checkpoint"].why
    (told,) = (line for line in mlops("status").out.splitlines() if line.startswith("stale pump_repair/checkpoint: "))
    assert told.endswith(f"and {len(why) - 4} more; --json has them all") and told.count(";") == 5
    assert any(reason.startswith("code of ") for reason in why)
    assert any(reason.startswith("software torch: ") and reason.endswith("-> 99") for reason in why)
    assert found["pumps/pump_repair/dataset"].state == FRESH
    assert found["pumps/pump_repair/evaluation"].in_turn


def test_status_tells_what_is_live_and_how_runs_ended(made: Home, mlops: Callable[..., Outcome]) -> None:
    found = json.loads(mlops("status", "--json").out)
    assert found["live"]["pump_repair"]["version"] == "1"
    assert found["runs"][0]["status"] == "SUCCESS"
    assert {s["station"] for s in found["stations"] if s["state"] != FRESH} == {"pumps/pump_repair/live_skew"}
    text = mlops("status").out
    assert "Nothing is stale." in text
    assert "pump_repair: version 1" in text
    assert "success" in text


def test_status_names_only_causes_one_by_one(pumps_copy: Home, mlops: Callable[..., Outcome]) -> None:
    (pumps_copy.landing / "readings" / "late.parquet").write_bytes(b"no parquet")
    lines = [line for line in mlops("status").out.splitlines() if line.startswith("stale")]
    assert lines[0] == "stale raw/readings: 1 file landed and not ingested"
    assert lines[1].startswith("stale in turn: features/pump_state")
    assert len(lines) == 2


def test_graph_has_every_station_with_its_state_and_parents(made: Home, mlops: Callable[..., Outcome]) -> None:
    found = {s["station"]: s for s in json.loads(mlops("graph", "--json").out)["stations"]}
    assert set(found) == {plan.station for plan in outline(PROJECT)}
    assert found["pumps/pump_repair/checkpoint"]["upstream"] == ["pumps/pump_repair/dataset"]
    lines = mlops("graph").out.splitlines()
    assert any(line.split()[:2] == ["●", "pump_repair/gate"] for line in lines)


def test_why_walks_to_the_rows_of_the_files(made: Home, mlops: Callable[..., Outcome]) -> None:
    prediction = newest(PROJECT, made)
    out = mlops("why", prediction).out
    assert out == mlops("why", "latest").out
    assert f"prediction {prediction}" in out
    for said in ("promote", "recomputed: equal", "readings-2024-05.parquet", "plan-2024-03.parquet", "not recorded"):
        assert said in out, out
    assert "NOT equal" not in out


def test_why_as_json_has_what_the_tree_has(made: Home, mlops: Callable[..., Outcome]) -> None:
    found = json.loads(mlops("why", "latest", "--json").out)
    assert found["prediction"]["prediction_id"] == newest(PROJECT, made)
    assert found["features"][0]["recomputed_equal"] is True
    assert found["example"]["files"][0]["rows"]
    assert found["missing"]


def test_why_of_an_unknown_prediction_is_a_mistake(made: Home, mlops: Callable[..., Outcome]) -> None:
    ended = mlops("why", "p-nothing")
    assert ended.code == 2
    assert "p-nothing" in ended.err


def test_a_home_that_dagster_knows_nothing_of_takes_everything_as_it_was(
    pumps_copy: Home, mlops: Callable[..., Outcome]
) -> None:
    shutil.rmtree(pumps_copy.path / "history")
    ended = mlops("materialize")
    lines = ended.out.splitlines()
    assert ended.code == 0, ended.out
    assert len(lines) == WHOLE + 1 + sum(line.startswith("warn") for line in lines)
    assert f"0 made, {WHOLE} as they were" in lines[-1]
    assert ended.err == ""
    assert mlops("materialize").out.startswith(f"nothing to do: {WHOLE} stations stand")


def test_a_broken_file_is_quarantined_and_gives_exit_code_3(pumps_copy: Home, mlops: Callable[..., Outcome]) -> None:
    (pumps_copy.landing / "readings" / "late.parquet").write_bytes(b"no parquet")
    ended = mlops("materialize", "--quiet", "--select", 'key:"pumps/raw/readings"+')
    assert ended.code == 3
    red = [line for line in ended.out.splitlines() if line.startswith("error")]
    assert len(red) == 1
    assert red[0].startswith("error raw/readings nothing_quarantined: rows 1")
    raw = standings(PROJECT, pumps_copy)[0]
    assert (raw.state, raw.manifest and raw.manifest.content["quarantined"]) == (FRESH, 1)
    assert STALE not in {each.state for each in standings(PROJECT, pumps_copy)}


def test_the_demo_on_a_home_that_has_it_all_makes_nothing(
    pumps_copy: Home, mlops: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    landed = {pl.read_parquet(path).hash_rows().sum(): path for path in pumps_copy.landing.rglob("*.parquet")}
    # The shared home was landed by another writer, whose bytes a delivery has to repeat to find them there.
    monkeypatch.setattr(landing, "parquet_bytes", lambda frame: landed[frame.hash_rows().sum()].read_bytes())
    ended = mlops("demo", "--through", "2024-04", "--then", "2024-05")
    assert ended.code == 0, ended.out + ended.err
    for said in (
        "1  land everything through 2024-04", "already there", "pump_repair version 1 is champion",
        "logistic regression", "predictions for the next day", "recomputed: equal", "5  land 2024-05",
        f"all {WHOLE} stations",
        "7  the verdict on the candidate", "make dev", "mlops why p-", "mlops history pump_repair", "s in all",
    ):  # fmt: skip
        assert said in ended.out, ended.out
    assert all(line == line.rstrip() for line in ended.out.splitlines())


def test_a_demo_in_the_wrong_order_is_a_mistake(mlops: Callable[..., Outcome]) -> None:
    ended = mlops("demo", "--through", "2024-05", "--then", "2024-04")
    assert ended.code == 2
    assert "--then 2024-04" in ended.err
