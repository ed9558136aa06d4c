"""The decision on a rollout as a Dagster asset."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_platform.registry.assets import champion_alias
from mlops_platform.registry.rollout.conclude import Found, acts, conclude
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.automation import follows_data
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.station import Made, Stations, actor
from mlops_platform.spec import Model, Project

STATION = "rollout_decision"


def rollout_decision_asset(project: Project, model: Model) -> dg.AssetsDefinition:
    """What the judge's finding means: history and alias are written here, as by a person, and the graph follows."""

    @dg.asset(
        key=[project.name, model.name, STATION],
        deps=[[project.name, model.name, "rollout"]],
        group_name="registry",
        owners=[project.owner],
        kinds={"mlflow"},
        automation_condition=follows_data(),
        output_required=False,
        description=f"Decision on the rollout of {model.name}: promoted (or put to a person), kept out, or going on.",
    )
    def decided(context: dg.AssetExecutionContext, stations: Stations) -> Iterator[dg.MaterializeResult]:
        judged = Refs(stations.home).find(f"{project.name}/{model.name}/rollout")
        if judged is None:
            stations.skip(context, f"no rollout of {model.name} was judged yet")
            return
        finding = judged.manifest
        found = Found(digest=finding.digest, rollout=finding.content["rollout"], verdict=finding.content["verdict"],
                      reason=finding.content["reason"])  # fmt: skip
        alias = champion_alias(stations, project, model)

        def work(folder: Path) -> Made:
            with alias.history.lock():
                alias.settle(context.run.run_id)
                move = conclude(alias, found, actor=actor(context.run.tags), run_id=context.run.run_id,
                                require_approval=model.gate.require_approval)  # fmt: skip
                alias.carry_out()
            context.log.info(f"{found.verdict}: {found.reason}")
            told: dict[str, Any] = {"verdict": found.verdict, "reason": found.reason, "finding": found.digest}
            return Made(content={**told, "action": move.action if move else None,
                                 "version": finding.content["version"]})  # fmt: skip

        yield stations.make(
            context,
            kind="rollout_decision",
            code=("mlops_platform.registry.rollout.conclude:conclude", "mlops_platform.registry.alias:ChampionAlias"),
            config={"model": model.name, **({"require_approval": True} if model.gate.require_approval else {})},
            inputs={"finding": finding.digest},
            work=work,
            show=_show,
            redo=acts(alias.history, found),
            outside=True,
        )

    return decided


def _show(artifact: Artifact) -> dict[str, object]:
    content = artifact.manifest.content
    shown: dict[str, object] = {"verdict": content["verdict"], "reason": content["reason"]}
    shown["version"] = int(content["version"])
    return {**shown, "decision": content["action"] or "goes on"}
