"""The station as a user meets it: metadata, checks, memo, and the errors of a training that goes wrong."""

from pathlib import Path

import dagster as dg
import pytest

from mlops_platform.errors import KilledError, TrainingError
from mlops_platform.manifest import short
from mlops_platform.resources.artifacts import Artifact
from mlops_platform_tests.training.tiny import Shop, network, shop

FILES = {
    "weights.safetensors", "program.onnx", "program.pt2", "scoring.json", "curves.json", "training.json",
    "soundness.json", "parity.json",
}  # fmt: skip


def test_the_checkpoint_holds_its_files_and_its_recipe(checkpoint: Artifact) -> None:
    assert set(checkpoint.manifest.files) == FILES
    recipe = checkpoint.manifest.recipe
    assert recipe.software["threads"] == "1"
    assert recipe.software["device"].startswith("1 cpu")
    assert {"torch", "pytorch_lightning", "onnx", "onnxscript"} <= set(recipe.software)
    assert checkpoint.manifest.produced.measured["rows_per_second"] > 0
    assert set(recipe.software).isdisjoint({"nodes", "strategy", "compile", "launcher"})
    compute = checkpoint.manifest.produced.measured["compute"]
    assert compute["launcher"] == "local" and compute["strategy"] == "ddp" and compute["devices"] == 1


def test_every_check_passes(trained: dg.ExecuteInProcessResult) -> None:
    verdicts = {check.check_name: check.passed for check in trained.get_asset_check_evaluations()}
    assert verdicts == dict.fromkeys(
        [
            "module_is_sound",
            "loss_is_finite",
            "loss_fell",
            "program_matches_weights",
            "program_equals_module",
            "weights_are_safetensors",
        ],
        True,
    )


def test_the_ui_gets_curves_and_figures(trained: dg.ExecuteInProcessResult) -> None:
    (event,) = trained.asset_materializations_for_node("shop__sells__checkpoint")
    assert {"validation_auc", "parameters", "rows_per_second", "compute", "learning_curves"} <= set(event.metadata)
    assert str(event.metadata["learning_curves"].value).startswith("![learning curves](data:image/png;base64,iVBOR")


def test_a_second_run_takes_the_artifact(tiny_shop: Shop, checkpoint: Artifact) -> None:
    again = tiny_shop.materialize()
    (event,) = again.asset_materializations_for_node("shop__sells__checkpoint")
    assert event.metadata["memo"].value == "hit"
    assert event.metadata["digest"].value == short(checkpoint.manifest.digest)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Explodes", "finite answers and gradients"),
        ("Killed", "ended by SIGKILL"),
    ],
)
def test_a_training_that_goes_wrong_leaves_nothing_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    for variable in ("MLOPS_HOME", "DAGSTER_HOME", "MLOPS_ENV", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"):
        monkeypatch.delenv(variable, raising=False)
    broken = shop(tmp_path, network(name))
    run = broken.materialize()
    assert not run.success
    (failure,) = run.get_failed_step_keys() and [e for e in run.all_events if e.is_step_failure]
    cause = failure.step_failure_data.error.cause or failure.step_failure_data.error
    assert cause.cls_name in (TrainingError.__name__, KilledError.__name__)
    assert said in cause.message
    assert broken.checkpoint() is None
    assert not (broken.home.artifacts / "checkpoint").exists()
    assert not [path for path in broken.home.artifacts.rglob("*.safetensors")]
