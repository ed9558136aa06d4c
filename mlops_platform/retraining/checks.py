"""Checks on the retrain decision, as Dagster shows them."""

import dagster as dg

from mlops_platform.resources.station import Stations
from mlops_platform.retraining.standing import STATION
from mlops_platform.spec import Model, Project


def retraining_checks(project: Project, model: Model) -> dg.AssetChecksDefinition:
    """Whether the newest checkpoint is the one that the policy wants to have (it warns)."""
    key = dg.AssetKey([project.name, model.name, STATION])

    @dg.asset_check(asset=key, name="no_training_is_due", description="No declared reason to train again holds.")
    def no_training_is_due(stations: Stations) -> dg.AssetCheckResult:
        content = stations.input("/".join(key.path)).manifest.content
        holding = [trigger["name"] for trigger in content["triggers"] if trigger["holds"]]
        return dg.AssetCheckResult(
            passed=not content["retrain"] and not holding, severity=dg.AssetCheckSeverity.WARN,
            metadata={"reason": content["reason"], "holding": ", ".join(holding) or "none"},
        )  # fmt: skip

    return no_training_is_due
