"""Every module that a project here declares keeps the contract."""

from pathlib import Path

import pytest

from mlops_platform.errors import TrainingError
from mlops_platform.projects.flights.project import PROJECT as FLIGHTS
from mlops_platform_tests.contracts.modules import ModuleCase, module_cases
from mlops_platform_tests.lineage.pumps.project import PROJECT as PUMPS
from mlops_platform_tests.training.tiny import network, project


@pytest.mark.parametrize("case", module_cases(FLIGHTS, PUMPS), ids=str)
def test_modules_are_sound(case: ModuleCase) -> None:
    case.require()


def test_the_tiny_module_is_sound_and_a_wide_one_is_not(tmp_path: Path) -> None:
    for case in module_cases(project(tmp_path, network())):
        case.require()
    with pytest.raises(TrainingError, match=r"networks:Wide: one logit a row(.|\n)*squeeze\(1\)"):
        module_cases(project(tmp_path, network("Wide")))[0].require()
