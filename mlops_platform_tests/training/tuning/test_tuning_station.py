"""The station as a user meets it: real trials, what the UI and MLflow get, and the training that takes the best."""

import json
from pathlib import Path

import dagster as dg
import pytest

from mlops_platform.manifest import short
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.memo import Looked
from mlops_platform.resources.mlflow import PARENT, MlflowDoor, MlflowResource
from mlops_platform.resources.planning import PlanningStations, look_through
from mlops_platform.training.assets import checkpoint_asset
from mlops_platform.training.record import TRAINING, Training
from mlops_platform.training.tuning.assets import tuning_asset
from mlops_platform.training.tuning.record import BEST, TRIALS, Trial, read_trials
from mlops_platform_tests.training.tiny import Shop
from mlops_platform_tests.training.tuning.shops import HOPELESS, TUNING, declared, tune, tuning_of, tuning_shop


@pytest.fixture(scope="module")
def artifact(tuned_shop: Shop, tuned: dg.ExecuteInProcessResult) -> Artifact:
    return tuning_of(tuned_shop)


@pytest.fixture(scope="module")
def trials(artifact: Artifact) -> tuple[Trial, ...]:
    return read_trials(artifact.file(TRIALS).read_bytes())


def shells(made: Shop) -> list[dg.AssetsDefinition]:
    """The tuning and the checkpoint of a declaration."""
    (model,) = made.project.models
    assert model.tuning is not None
    return [tuning_asset(made.project, model, model.tuning), checkpoint_asset(made.project, model)]


def failures(run: dg.ExecuteInProcessResult) -> str:
    found = [event.step_failure_data.error for event in run.all_events if event.is_step_failure]
    return "\n".join(str(error.cause.message if error.cause else error.message) for error in found if error)


def test_the_best_is_never_worse_than_the_declaration(artifact: Artifact, trials: tuple[Trial, ...]) -> None:
    assert len(trials) == TUNING.trials and trials[0].parameters == {"learning_rate": 0.02, "parameters.hidden": 8}
    best = json.loads(artifact.file(BEST).read_bytes())
    assert best["validation_loss"] == min(trial.value for trial in trials if trial.value is not None)
    assert best["parameters"] == trials[best["trial"]].parameters
    assert artifact.manifest.content["declared_validation_loss"] == trials[0].value >= best["validation_loss"]


def test_the_hopeless_are_pruned(trials: tuple[Trial, ...]) -> None:
    hopeless = [trial for trial in trials[2:] if trial.parameters["learning_rate"] == HOPELESS]
    assert hopeless and all(trial.state == "pruned" and len(trial.losses) == 1 for trial in hopeless)


def test_the_ui_gets_a_picture_a_table_and_the_line_to_declare(
    tuned: dg.ExecuteInProcessResult, artifact: Artifact
) -> None:
    (event,) = tuned.asset_materializations_for_node("shop__sells__tuning")
    shown = {name: found.value for name, found in event.metadata.items()}
    assert str(shown["study"]).startswith("![study](data:image/png;base64,iVBOR")
    assert str(shown["trials_table"]).count("\n") == TUNING.trials + 1
    assert shown["declare"] == f'Network(..., tuned="{artifact.manifest.digest}")'
    verdicts = {check.check_name: check.passed for check in tuned.get_asset_check_evaluations()}
    assert set(verdicts) == {"beats_the_declaration", "most_trials_train"} and verdicts["most_trials_train"]


def test_each_trial_is_a_run_beneath_the_tuning_in_mlflow(
    tuned_shop: Shop, artifact: Artifact, trials: tuple[Trial, ...]
) -> None:
    door = MlflowDoor(tuned_shop.home, "shop")
    runs = door.client.search_runs([door.experiment])
    (tuning,) = [run for run in runs if run.data.tags.get("mlops.digest") == artifact.manifest.digest]
    beneath = {r.data.tags["mlflow.runName"]: r for r in runs if r.data.tags.get(PARENT) == tuning.info.run_id}
    assert set(beneath) == {f"shop/sells/tuning trial {trial.number + 1}" for trial in trials}
    assert all(run.info.status == "FINISHED" for run in [tuning, *beneath.values()])
    first = beneath["shop/sells/tuning trial 1"]
    curve = door.client.get_metric_history(first.info.run_id, "epoch_validation_loss")
    assert [point.value for point in sorted(curve, key=lambda point: point.step)] == list(trials[0].losses)
    assert first.data.params["parameters.hidden"] == "8" and first.data.tags["mlops.state"] == "complete"


def test_a_training_that_points_to_it_takes_its_values_and_has_its_very_loss(
    tuned_shop: Shop, artifact: Artifact
) -> None:
    pointing = declared(tuned_shop, tuned="latest")
    run = dg.materialize(shells(pointing), resources=pointing.resources, raise_on_error=False)
    assert run.success, failures(run)
    # A run with the checkpoint in it is not for the tuning, which is left as it stands.
    (event,) = run.asset_materializations_for_node("shop__sells__tuning")
    assert event.metadata["memo"].value == "stands until a person asks"
    checkpoint = pointing.checkpoint()
    assert checkpoint is not None
    recipe, best = checkpoint.manifest.recipe, json.loads(artifact.file(BEST).read_bytes())
    assert recipe.inputs["tuning"] == artifact.manifest.digest and "tuned" not in recipe.config["network"]
    assert recipe.config["network"]["parameters"] == {"hidden": best["parameters"]["parameters.hidden"]}
    training = Training.from_json(checkpoint.file(TRAINING).read_bytes())
    assert training.validation_loss == best["validation_loss"]

    # Pinned by its digest it is the same recipe: nothing is trained.
    pinned = declared(tuned_shop, tuned=artifact.manifest.digest)
    again = dg.materialize(shells(pinned)[1:], resources=pinned.resources, raise_on_error=False)
    (event,) = again.asset_materializations_for_node("shop__sells__checkpoint")
    assert event.metadata["memo"].value == "hit"
    assert event.metadata["digest"].value == short(checkpoint.manifest.digest)


def test_asking_again_takes_it_as_it_is_and_fewer_trials_need_no_program(
    tuned_shop: Shop, artifact: Artifact, trials: tuple[Trial, ...]
) -> None:
    (event,) = tune(tuned_shop).asset_materializations_for_node("shop__sells__tuning")
    assert event.metadata["memo"].value == "hit"
    fewer = tune(tuned_shop, trials=3)
    assert fewer.success and read_trials(tuning_of(tuned_shop).file(TRIALS).read_bytes()) == trials[:3]
    assert tune(tuned_shop).success and tuning_of(tuned_shop).manifest.digest == artifact.manifest.digest


def test_a_plan_asks_for_nothing(tuned_shop: Shop, artifact: Artifact) -> None:
    home = tuned_shop.home
    stations = PlanningStations(path=str(home.path), environment=home.environment, mlflow=MlflowResource())
    looked = look_through(shells(tuned_shop)[0], stations, tuned_shop.resources)
    assert isinstance(looked, Looked) and looked.found is not None
    assert looked.found.manifest.digest == artifact.manifest.digest


def test_a_run_for_something_else_skips_a_tuning_that_was_never_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    untuned = tuning_shop(tmp_path)
    # Its training never begins: what is looked at here is the tuning, and what a declaration without one is told.
    monkeypatch.setattr("mlops_platform.resources.compute.ComputeResource.run", lambda *_: pytest.fail("it trained"))
    for which in ("latest", "sha256:" + "1" * 64):
        pointing = declared(untuned, tuned=which)
        run = dg.materialize(shells(pointing), resources=pointing.resources, raise_on_error=False)
        assert "run mlops tune sells, or leave tuned out" in failures(run)
    run = tune(untuned, timeout_seconds=1e-9)
    assert "a trial that is complete" in failures(run) and "none of 0" in failures(run)
