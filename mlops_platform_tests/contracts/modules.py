"""The contract of a network's module: every check of the platform, on inputs as odd as datasets bring them.

In a test of your own project:

    import pytest
    from mlops_platform_tests.contracts.modules import ModuleCase, module_cases
    from my_team.project import PROJECT

    @pytest.mark.parametrize("case", module_cases(PROJECT), ids=str)
    def test_modules_are_sound(case: ModuleCase) -> None:
        case.require()
"""

from dataclasses import dataclass

from mlops_platform.spec import Model, Project
from mlops_platform.training.soundness import require_sound

INPUTS = ("usual", "few values", "every category missing")


@dataclass(frozen=True)
class ModuleCase:
    """One model's module and what it is fed.

    Attributes:
        project: That declares it.
        model: That names it.
        inputs: Which of ``INPUTS``.
    """

    project: Project
    model: Model
    inputs: str

    def __str__(self) -> str:
        return f"{self.project.name}-{self.model.name}-{self.inputs}"

    def require(self) -> None:
        """Runs every check.

        Raises:
            TrainingError: The first that failed: what was required, what was found and what to do.
        """
        # Torch is imported by the test that runs, not by whoever collects it.
        from mlops_platform.training.program.declared import examined

        categories = len(self.model.categories)
        codes = {"few values": (2,) * categories, "every category missing": (1,) * categories}
        found = examined(self.project, self.model, cardinalities=codes.get(self.inputs))
        require_sound(self.model.network.module, found)


def module_cases(*projects: Project) -> list[ModuleCase]:
    """A case for every model of projects and every kind of input."""
    return [ModuleCase(p, model, inputs) for p in projects for model in p.models for inputs in INPUTS]
