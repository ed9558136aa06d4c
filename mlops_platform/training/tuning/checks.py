"""Checks of a tuning; none blocks, since nothing follows it by itself."""

from collections.abc import Iterator

import dagster as dg

from mlops_platform.resources.station import Stations
from mlops_platform.spec import Model, Project

_CHECKS = {
    "beats_the_declaration": "The best trial's validation loss is below that of the values that are declared.",
    "most_trials_train": "At most half of the trials were refused or died.",
}


def tuning_checks(project: Project, model: Model) -> dg.AssetChecksDefinition:
    """The checks of a model's tuning."""
    key = dg.AssetKey([project.name, model.name, "tuning"])
    specs = [dg.AssetCheckSpec(name, asset=key, description=told) for name, told in _CHECKS.items()]

    @dg.multi_asset_check(name=f"{project.name}__{model.name}__tuning_checks", specs=specs)
    def checks(stations: Stations) -> Iterator[dg.AssetCheckResult]:
        content = stations.input("/".join(key.path)).manifest.content
        best, declared = content["validation_loss"], content["declared_validation_loss"]
        broken = content["refused"] + content["died"]
        verdicts = {
            "beats_the_declaration": (
                declared is None or best < declared,
                {"best": best, "declared": "not in the space" if declared is None else declared},
            ),
            "most_trials_train": (2 * broken <= content["trials"], {"broken": broken, "trials": content["trials"]}),
        }
        for name, (passed, figures) in verdicts.items():
            yield dg.AssetCheckResult(asset_key=key, check_name=name, passed=passed, metadata=figures,
                                      severity=dg.AssetCheckSeverity.WARN)  # fmt: skip

    return checks
