"""A warm start through the whole graph: promoted, asked again, rolled back, explained."""

from dataclasses import replace

import pytest

from mlops_platform.cli.execution import Graph
from mlops_platform.cli.planning import RUNS, TAKEN, plan
from mlops_platform.cli.standing import FRESH, standings
from mlops_platform.cli.why_tree import newest, why_tree
from mlops_platform.manifest import Manifest, digest_file, short
from mlops_platform.provenance.walk import why
from mlops_platform.registry.alias import ChampionAlias
from mlops_platform.registry.by_person import Asked, rollback
from mlops_platform.resources.artifacts import ArtifactStore
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import MlflowDoor
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.station import Progress
from mlops_platform.spec import Project
from mlops_platform_tests.lineage.pumps.variants import BETTER, POOR, trained
from mlops_platform_tests.lineage.run import failures, materialize

pytestmark = pytest.mark.long

# Nothing was asked live.
LIVE_SKEW = "pumps/pump_repair/live_skew"
CHECKPOINT = "pumps/pump_repair/checkpoint"


def warm(project: Project) -> Project:
    (model,) = project.models
    return replace(project, models=(replace(model, network=replace(model.network, warm_start=True)),))


def checkpoint(home: Home) -> Manifest:
    return Refs(home).read(CHECKPOINT).manifest


def made(home: Home, project: Project, heard: list[Progress]) -> set[str]:
    """Stations that really worked in a run over the whole graph."""
    heard.clear()
    result = materialize(home, project)
    assert result.success, failures(result)
    return {p.station for p in heard if p.seconds is not None and not p.hit and not p.skipped}


def planned(home: Home, project: Project) -> tuple[str, set[str]]:
    """What would come of the checkpoint, and why."""
    graph = Graph.load(project)
    (step,) = plan(graph, home, graph.select(f'key:"{CHECKPOINT}"'))
    return step.state, set(step.why)


@pytest.fixture
def begun(moved_home: Home, listening: list[Progress]) -> tuple[Home, Manifest, Manifest]:
    """A home in which a checkpoint that began from the champion is champion now; the two checkpoints."""
    champion = checkpoint(moved_home)
    assert CHECKPOINT in made(moved_home, warm(trained(8)), listening)
    return moved_home, champion, checkpoint(moved_home)


def test_a_promoted_warm_start_stands(begun: tuple[Home, Manifest, Manifest], listening: list[Progress]) -> None:
    home, champion, now = begun
    history = PromotionHistory(home, "pumps", "pump_repair")
    live = history.live()
    assert now.recipe.inputs["warm_start"] == champion.digest and live is not None and live.checkpoint == now.digest
    assert now.content["warm_start"]["fresh"] == 0 and now.content["warm_start"]["embeddings"]["pump"]["carried"] == 4

    project = warm(trained(8))
    graph = Graph.load(project)
    assert {step.state for step in plan(graph, home, graph.select("*"))} == {TAKEN}
    assert {each.station for each in standings(project, home) if each.state != FRESH} == {LIVE_SKEW}
    assert made(home, project, listening) == set()
    epochs, start = "configuration network.epochs: 8 -> 9", f"{short(champion.digest)} -> {short(now.digest)}"
    assert planned(home, warm(trained(9))) == (RUNS, {epochs, f"input warm_start: {start}"})

    alias = ChampionAlias(history=history, door=MlflowDoor(home, "pumps"), name="pumps.pump_repair")
    rollback(alias, Asked(by="tests", because="to see what trains"))
    assert planned(home, project) == (TAKEN, set()) and planned(home, warm(trained(9))) == (RUNS, {epochs})
    assert CHECKPOINT not in made(home, project, listening) and checkpoint(home) == now


def test_what_began_from_what_is_told(begun: tuple[Home, Manifest, Manifest]) -> None:
    home, champion, now = begun
    project = warm(trained(8))
    found = why(home, project, newest(project, home))
    assert (found.checkpoint, found.starts) == (now, [champion])
    tree = why_tree(found)
    labels = [str(node.label) for branch in tree.children for leaf in branch.children for node in leaf.children]
    assert any(f"from checkpoint {short(champion.digest)}" in label for label in labels)

    run = ArtifactStore(home).open("checkpoint", now.digest)
    door = MlflowDoor(home, "pumps")
    runs = door.client.search_runs([e.experiment_id for e in door.client.search_experiments()])
    (logged,) = [r for r in runs if r.data.tags.get("mlops.digest") == run.manifest.digest]
    assert logged.data.tags["mlops.warm_start"] == champion.digest
    assert logged.data.params["warm_start"] == "True" and int(logged.data.params["warm_start.taken"]) > 0


def test_a_damaged_start_trains_nothing(moved_home: Home) -> None:
    weights = ArtifactStore(moved_home).open("checkpoint", checkpoint(moved_home).digest).folder / "weights.safetensors"
    before = digest_file(weights)
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    result = materialize(moved_home, warm(trained(8)), f'key:"{CHECKPOINT}"')
    (told,) = failures(result).values()
    assert f"of digest {before}, to begin from" in told


def test_a_cold_declaration_keeps_its_recipe() -> None:
    cold, begun = (project.models[0].network.recipe() for project in (BETTER, warm(BETTER)))
    assert begun == {**cold, "warm_start": True} and "warm_start" not in POOR.models[0].network.recipe()
