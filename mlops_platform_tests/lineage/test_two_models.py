"""Two models of one project share what is equal between them, and neither takes the other's place."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT
from mlops_platform_tests.lineage.run import failures, land, materialize

pytestmark = pytest.mark.long

SHORT = replace(MODEL, network=replace(MODEL.network, epochs=3))
WIDE = replace(MODEL, name="pump_repair_wide", network=replace(SHORT.network, parameters={"width": 4}))
BOTH = replace(PROJECT, models=(SHORT, WIDE))


def test_models_of_one_dataset_declaration_each_stand(home: Home, use_home: Callable) -> None:
    use_home(home.path)
    land(home, BOTH, "2024-05")
    result = materialize(home, BOTH)
    assert result.success, failures(result)
    refs = Refs(home)
    datasets = {model.name: refs.read(f"pumps/{model.name}/dataset").manifest.digest for model in BOTH.models}
    checkpoints = {model.name: refs.read(f"pumps/{model.name}/checkpoint").manifest.digest for model in BOTH.models}
    assert len(set(datasets.values())) == 1 and len(set(checkpoints.values())) == 2
    for model in BOTH.models:
        recipe = refs.recipe(f"pumps/{model.name}/dataset")
        assert recipe is not None and recipe.station == f"pumps/{model.name}/dataset"
        decision = refs.read(f"pumps/{model.name}/retrain_decision").manifest.content
        assert not decision["retrain"] and decision["checkpoint"] == checkpoints[model.name]
