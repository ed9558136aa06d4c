"""The checkpoint station with several processes, through Dagster: a real training that torchrun starts."""

from dataclasses import replace
from pathlib import Path

import pytest

from mlops_platform.resources.devices import cpus
from mlops_platform.spec import Compute
from mlops_platform_tests.training.tiny import Shop, network, shop

pytestmark = pytest.mark.skipif(len(cpus()) < 2, reason="two processes need two processors")


def two(folder: Path) -> Shop:
    made = shop(folder, network("Even", epochs=2))
    (model,) = made.project.models
    compute = Compute(threads=1, devices=2, launcher="torchrun")
    return replace(made, project=replace(made.project, models=(replace(model, compute=compute),)))


@pytest.mark.long
def test_two_processes_train_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLOPS_HOME", "DAGSTER_HOME", "MLOPS_ENV", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"):
        monkeypatch.delenv(name, raising=False)
    made = two(tmp_path)
    result = made.materialize()
    assert result.success and all(check.passed for check in result.get_asset_check_evaluations())
    found = made.checkpoint()
    assert found is not None
    assert found.manifest.recipe.software["device"].startswith("2 cpu")
    assert found.manifest.recipe.software["strategy"] == "ddp"
    compute = found.manifest.produced.measured["compute"]
    assert (compute["devices"], compute["nodes"], compute["launcher"]) == (2, 1, "torchrun")
