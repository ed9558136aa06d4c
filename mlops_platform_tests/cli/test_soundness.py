"""``mlops check-module``: on made-up rows before there is a dataset, on real ones afterwards."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_platform.cli.soundness import show_soundness
from mlops_platform.errors import SpecError
from mlops_platform.resources.home import Home
from mlops_platform.spec import Network
from mlops_platform_tests.cli.conftest import Outcome
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT


def test_a_module_is_checked_before_there_is_a_dataset(mlops: Callable[..., Outcome]) -> None:
    ended = mlops("check-module", "pump_repair")
    first, *lines = ended.out.splitlines()
    assert ended.code == 0 and first.endswith("PumpNet, asked made-up rows")
    assert {line.split()[0] for line in lines} == {"ok"} and len(lines) == 8


def test_the_rows_of_its_dataset_are_asked_where_there_are_some(
    pumps_home: Path, mlops: Callable[..., Outcome]
) -> None:
    ended = mlops("--home", str(pumps_home), "check-module", "pump_repair", "--json")
    told = json.loads(ended.out)
    assert ended.code == 0 and "first rows of dataset " in told["rows"]
    assert all(finding["passed"] for finding in told["findings"])


def test_what_is_wrong_is_told_with_its_remedy(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = Network(module="mlops_platform_tests.training.unsound:Detached")
    project = replace(PROJECT, models=(replace(MODEL, network=wrong),))
    assert show_soundness(project, home, "pump_repair", as_json=False) == 1
    said = capsys.readouterr().out
    assert "fail  gradients reach every parameter" in said and "spare.weight" in said
    assert "mend: use them in forward without .detach()" in said
    with pytest.raises(SpecError, match="pump_repair"):
        show_soundness(project, home, "pumps", as_json=False)
