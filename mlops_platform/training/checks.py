"""Checks of a checkpoint; all but one block what follows."""

import contextlib
from collections.abc import Iterator

import dagster as dg

from mlops_platform.errors import TrainingError
from mlops_platform.resources.station import Stations
from mlops_platform.spec import Forecast, Model, Project

_CHECKS = {
    "module_is_sound": (
        True,
        "The network answers, learns and keeps its weights as a module should; before it trains.",
    ),
    "loss_is_finite": (True, "Every loss of every epoch is a number."),
    "loss_fell": (False, "The train loss fell, and the best epoch beats always answering {constant}."),
    "program_matches_weights": (True, "The exported program scores validation rows as torch does, within 1e-5."),
    "program_equals_module": (
        True,
        "The exported program, and torch's form of it, score every holdout row as the module does, within 1e-5.",
    ),
    "weights_are_safetensors": (True, "The weights are safetensors; no file holds a pickle that could call anything."),
}


def checkpoint_checks(project: Project, model: Model) -> dg.AssetChecksDefinition:
    """The checks of a model's checkpoint."""
    key = dg.AssetKey([project.name, model.name, "checkpoint"])
    constant = "each step's median" if isinstance(model.task, Forecast) else "the share of positives"
    specs = [
        dg.AssetCheckSpec(name, asset=key, blocking=blocking, description=description.format(constant=constant))
        for name, (blocking, description) in _CHECKS.items()
    ]

    @dg.multi_asset_check(name=f"{project.name}__{model.name}__checkpoint_checks", specs=specs)
    def checks(stations: Stations) -> Iterator[dg.AssetCheckResult]:
        # Scoring brings numpy and polars, which loading the code location does without.
        from mlops_platform.training.evidence import findings

        artifact = stations.input("/".join(key.path))
        found = findings(artifact, artifact.folder, tuple(artifact.manifest.files))
        for name, (blocking, _) in _CHECKS.items():
            severity = dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN
            yield dg.AssetCheckResult(
                asset_key=key, check_name=name, passed=found[name].passed, metadata=found[name].facts, severity=severity
            )

    return checks


@contextlib.contextmanager
def red_check(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Shows as red the check that a training which stops would have failed; no checkpoint is there to be checked."""
    try:
        yield
    except TrainingError as error:
        if error.check is not None:
            evaluation = dg.AssetCheckEvaluation(
                asset_key=context.asset_key, check_name=error.check, passed=False, description=error.found,
                metadata={"required": error.required, "found": error.found, "remedy": error.remedy}, blocking=True,
            )  # fmt: skip
            dg.DagsterEvent.asset_check_evaluation(context.get_step_execution_context(), evaluation)
        raise
