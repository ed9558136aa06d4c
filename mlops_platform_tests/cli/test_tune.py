"""``mlops tune`` as a person uses it, on the pumps: mistakes, one line a trial, and the training that follows."""

import json
from collections.abc import Callable

import pytest

from mlops_platform.cli.execution import Graph
from mlops_platform.cli.standing import FRESH, NEVER, standings
from mlops_platform.cli.why_tree import newest, why_tree
from mlops_platform.provenance.walk import why
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform_tests.cli.conftest import Outcome
from mlops_platform_tests.lineage.pumps.variants import TUNABLE, tuned
from mlops_platform_tests.lineage.run import failures, materialize

STATION = "pumps/pump_repair/tuning"
REFERENCE = "mlops_platform_tests.lineage.pumps.variants:TUNABLE"


@pytest.mark.parametrize(
    ("arguments", "project", "said"),
    [
        (("pump_repair",), None, "declare Model(tuning=Tuning(space="),
        (("pumps",), REFERENCE, "one of pump_repair"),
        (("pump_repair", "--timeout", "soon"), REFERENCE, "--timeout"),
        (("pump_repair",), REFERENCE, "mlops materialize --select 'key:\"pumps/pump_repair/dataset\"'"),
    ],
)
def test_mistakes_say_what_to_do(
    mlops: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], project: str | None,
    said: str,
) -> None:  # fmt: skip
    if project is not None:
        monkeypatch.setenv("MLOPS_PROJECT", project)
    outcome = mlops("tune", *arguments)
    assert outcome.code != 0 and said in outcome.err


def test_a_tuning_is_in_the_graph_and_in_no_selection_with_the_checkpoint() -> None:
    graph = Graph.load(TUNABLE)
    named = {selection: {"/".join(key.path) for key in graph.select(selection)}
             for selection in ("*", "group:training", f'key:"{STATION}"', f'+key:"{STATION}"')}  # fmt: skip
    assert STATION in graph.rooms and graph.rooms[STATION] == "training"
    assert STATION not in named["*"] | named["group:training"]
    assert named[f'key:"{STATION}"'] == {STATION} and STATION in named[f'+key:"{STATION}"']


def test_nothing_moves_a_tuning_by_itself() -> None:
    import dagster as dg

    definitions = Graph.load(TUNABLE).definitions
    asset = definitions.resolve_assets_def(dg.AssetKey(STATION.split("/")))
    assert all(spec.automation_condition is None for spec in asset.specs)
    for job in ("pumps_data", "pumps_pump_repair_training"):
        keys = definitions.resolve_job_def(job).asset_layer.executable_asset_keys
        assert dg.AssetKey(STATION.split("/")) not in keys


@pytest.mark.long
def test_from_tuning_to_an_explained_prediction(
    mlops: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, moved_home: Home
) -> None:
    home = moved_home
    monkeypatch.setenv("MLOPS_PROJECT", REFERENCE)
    assert {each.station: each.state for each in standings(TUNABLE, home)}[STATION] == NEVER
    out = mlops("status").out
    assert "0 never made" in out or "Nothing is stale" in out
    (line,) = (line for line in out.splitlines() if "pump_repair/tuning " in line)
    assert line.rstrip().endswith("when asked for")

    asked = mlops("tune", "pump_repair")
    assert asked.code == 0, asked.out + asked.err
    found = Refs(home).read(STATION)
    lines = asked.out.splitlines()
    assert [line.split("  ")[0] for line in lines if line.startswith("trial")] == [f"trial {n} of 3" for n in (1, 2, 3)]
    assert f'Network(..., tuned="{found.manifest.digest}")' in asked.out
    again = mlops("tune", "pump_repair", "--json")
    assert json.loads(again.out)["digest"] == found.manifest.digest
    assert {each.station: each.state for each in standings(TUNABLE, home)}[STATION] == FRESH

    following = tuned("latest")
    result = materialize(home, following)
    assert result.success, failures(result)
    explained = why(home, following, newest(following, home))
    told = [str(n.label) for b in why_tree(explained).children for leaf in b.children for n in leaf.children]
    assert explained.tuning == found.manifest and any("tuned[/] by" in text for text in told)
