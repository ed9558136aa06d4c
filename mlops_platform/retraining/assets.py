"""The retrain decision as a Dagster asset."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_platform.errors import MissingArtifactError
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.automation import follows_data
from mlops_platform.resources.station import Made, Stations
from mlops_platform.retraining.standing import STATION, Standing, policy_of, recipe_parts, standing
from mlops_platform.spec import Model, Project

CODE = (
    "mlops_platform.retraining.policy:decide",
    "mlops_platform.retraining.news:news_between",
    "mlops_platform.retraining.standing:policy_of",
)
"""What a decision is made by."""


def retrain_decision_asset(project: Project, model: Model) -> dg.AssetsDefinition:
    """Whether to train a model again; a sensor acts on yes, so that the graph stays without a cycle."""
    prefix = [project.name, model.name]

    @dg.asset(
        key=[*prefix, STATION],
        deps=[[*prefix, station] for station in ("dataset", "checkpoint", "monitoring")],
        group_name="retraining",
        owners=[project.owner],
        kinds={"python"},
        automation_condition=follows_data(),
        description=f"Retrain decision of {model.name}: whether its retraining policy asks to train it again, and why.",
    )
    def retrain_decision(context: dg.AssetExecutionContext, stations: Stations) -> dg.MaterializeResult:
        found = standing(stations.home, project, model)
        if found is None:
            raise MissingArtifactError(
                required=f"a dataset of {model.name}", found="none",
                remedy=f"mlops materialize --select 'key:\"{project.name}/{model.name}/dataset\"'",
            )  # fmt: skip

        def work(folder: Path) -> Made:
            content = _decided(stations, model, found)
            context.log.info(content["reason"])
            return Made(content=content, measured=_age(found))

        return stations.make(context, kind=STATION, work=work, show=_show, code=CODE, **recipe_parts(model, found))

    return retrain_decision


def _decided(stations: Stations, model: Model, found: Standing) -> dict[str, Any]:
    """The decision and what it is about."""
    from mlops_platform.retraining.news import news_between
    from mlops_platform.retraining.policy import decide

    dataset, trained_on = found.dataset.manifest.digest, found.trained_on
    same = trained_on == dataset
    news = None if same else news_between(stations.store, dataset, trained_on, model.examples.id)
    decision = decide(
        policy_of(model), trained=found.checkpoint is not None, news=news, stale=found.stale, cooling=found.cooling,
        report=found.report.manifest.content if found.report else None,
    )  # fmt: skip
    return {**decision.to_json(), **found.inputs}


def _age(found: Standing) -> dict[str, float]:
    """How old the checkpoint was when the policy was asked; it varies, so it is no part of the decision."""
    if found.trained_at is None:
        return {}
    return {"hours_since_training": round((datetime.now(UTC) - found.trained_at).total_seconds() / 3600, 3)}


def _show(artifact: Artifact) -> dict[str, Any]:
    content = artifact.manifest.content
    lines = ["| reason declared | holds | found | required |", "|---|---|---|---|"]
    lines += [
        f"| {t['name']} | {'yes' if t['holds'] else 'no'} | {t['found']} | {t['required']} |"
        for t in content["triggers"]
    ]
    return {
        "retrain": content["retrain"],
        "reason": content["reason"],
        **artifact.manifest.produced.measured,
        **({"triggers": dg.MetadataValue.md("\n".join(lines))} if content["triggers"] else {}),
    }
