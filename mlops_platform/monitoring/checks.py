"""What must hold of what is live."""

from collections.abc import Iterable

import dagster as dg

from mlops_platform.resources.station import Stations
from mlops_platform.spec import Model, Project


def monitoring_checks(project: Project, model: Model) -> dg.AssetChecksDefinition:
    """The live model is not shown to be worse than its evaluation (it warns: what follows is decided elsewhere)."""
    key = dg.AssetKey([project.name, model.name, "monitoring"])
    limit = f"{model.gate.metric} of labelled predictions is not worse than that of the evaluation by more than"
    specs = [dg.AssetCheckSpec("live_quality", asset=key, description=f"{limit} {model.monitoring.max_drop:g}")]

    @dg.multi_asset_check(specs=specs, name=f"{project.name}__{model.name}__monitoring_checks")
    def checks(stations: Stations) -> Iterable[dg.AssetCheckResult]:
        content = stations.input(f"{project.name}/{model.name}/monitoring").manifest.content
        figures = {name: content[name] for name in ("rows", "days", "answers", "live", "expected", "lower", "upper")}
        yield dg.AssetCheckResult(
            check_name="live_quality", asset_key=key, passed=not content["bad"], severity=dg.AssetCheckSeverity.WARN,
            description=content["reason"],
            metadata={name: value for name, value in figures.items() if value is not None},
        )  # fmt: skip

    return checks
