"""A loss that stops being a number: a red check, no checkpoint, nothing registered, and the champion stays."""

from collections.abc import Callable
from dataclasses import replace

import dagster as dg
import pytest

from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import MlflowDoor
from mlops_platform.resources.refs import Refs
from mlops_platform.training.record import TRAINING, Training
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT
from mlops_platform_tests.lineage.run import failures, materialize

pytestmark = pytest.mark.long

KEY = dg.AssetKey(["pumps", "pump_repair", "checkpoint"])
LATER = ("checkpoint", "evaluation", "gate", "skew", "registered_model", "champion", "predictions")


def standing(home: Home) -> tuple[dict[str, str], list[object], int]:
    """What the later stations stand for, the moves of the alias, and how many versions are registered."""
    refs, history = Refs(home), PromotionHistory(home, "pumps", "pump_repair")
    digests = {name: refs.read(f"pumps/pump_repair/{name}").manifest.digest for name in LATER}
    versions = MlflowDoor(home, "pumps").client.search_model_versions("name = 'pumps.pump_repair'")
    return digests, list(history.moves()), len(versions)


def test_a_loss_that_turns_into_no_number_in_the_third_epoch_changes_nothing_that_stands(
    pumps_copy: Home, use_home: Callable
) -> None:
    use_home(pumps_copy.path)
    before = standing(pumps_copy)
    good = Refs(pumps_copy).read("pumps/pump_repair/checkpoint")
    training = Training.from_json(good.file(TRAINING).read_bytes())
    late = replace(
        MODEL.network, module="mlops_platform_tests.training.networks:Late",
        parameters={"after": 2 * training.steps // training.epochs},
    )  # fmt: skip
    result = materialize(pumps_copy, replace(PROJECT, models=(replace(MODEL, network=late),)))
    assert not result.success
    ((step, said),) = failures(result).items()
    assert step == "pumps__pump_repair__checkpoint" and "nan in epoch 3" in said
    with dg.DagsterInstance.get() as instance:
        (latest,) = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(KEY, "loss_is_finite"), limit=1
        )
        runs = instance.get_runs(limit=1)
        found = MlflowDoor(pumps_copy, "pumps").client.search_runs(
            [MlflowDoor(pumps_copy, "pumps").experiment], f"tags.dagster_run_id = '{runs[0].run_id}'"
        )
    assert latest.run_id == result.run_id and latest.status.value == "FAILED"
    assert latest.event is not None and latest.event.dagster_event is not None
    red = latest.event.dagster_event.asset_check_evaluation_data
    assert not red.passed and "nan in epoch 3" in str(red.metadata["found"].value)
    assert "learning_rate" in str(red.metadata["remedy"].value)
    assert [run.info.status for run in found] in ([], ["FAILED"])
    assert standing(pumps_copy) == before
