"""The judge of a rollout as a Dagster asset."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_platform.manifest import Manifest, Recipe, digest_of
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.automation import follows_data
from mlops_platform.resources.history import Move, PromotionHistory
from mlops_platform.resources.memo import recipe_of
from mlops_platform.resources.pictures import inline_picture
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.rollouts import GO_ON, Promise, RolloutRecords, patience
from mlops_platform.resources.station import Made, Stations
from mlops_platform.spec import Model, Project, Rollout

STATION = "rollout"
_BEFORE = "before"


def rollout_asset(project: Project, model: Model, rollout: Rollout) -> dg.AssetsDefinition:
    """What the judge finds of the open rollout; ``rollout_decision`` acts on it.

    Its inputs tell the prediction log by its version: the log is append-only, so that is all of its content. A run in
    which nothing is new takes the finding as it is: it is no further look. Either way the judge's promise begins anew.
    """
    prefix, source = f"{project.name}/{model.name}", model.examples.source
    code = ("mlops_platform.monitoring.rollout.report:write_finding", model.examples.labelled)

    @dg.asset(
        key=[project.name, model.name, STATION],
        deps=[[project.name, model.name, "champion"], [project.name, "raw", source]],
        group_name="monitoring",
        owners=[project.owner],
        kinds={"polars"},
        automation_condition=follows_data(),
        output_required=False,
        description=f"Rollout of {model.name}: champion and challenger on the same live questions, judged as labels "
        "become known, by a test that may be looked at any number of times.",
    )
    def judged(context: dg.AssetExecutionContext, stations: Stations) -> Iterator[dg.MaterializeResult]:
        from mlops_platform.monitoring.prediction_log import labels_config, shipped_log
        from mlops_platform.resources.delta import DeltaDoor

        home = stations.home
        begun = PromotionHistory(home, project.name, model.name).rollout_entry()
        if begun is None:
            stations.skip(context, f"no rollout of {model.name} is open")
            return
        digest, entry = begun
        records = RolloutRecords(home, project.name, model.name)
        counts, overdue = records.counted(digest), is_overdue(rollout, entry, datetime.now(UTC))
        raw = stations.input(f"{project.name}/raw/{source}").manifest
        log, logged_ids = shipped_log(home, project, model)
        version = log.version if log.exists else None
        config = {**labels_config(model), "rollout": asdict(rollout)}
        inputs = {"rollout": digest, "log": f"version {version}", "counts": digest_of(asdict(counts)),
                  "overdue": str(overdue), f"raw:{source}": raw.digest}  # fmt: skip
        inputs |= _before(Refs(home), recipe_of(f"{prefix}/{STATION}", code=code, config=config, inputs=inputs)[0])

        def work(folder: Path) -> Made:
            from mlops_platform.monitoring.rollout.report import Open, write_finding

            before = stations.store.open("rollout_finding", inputs[_BEFORE]) if _BEFORE in inputs else None
            asked = Open(digest=digest, begun=entry, asked=rollout, counts=counts, overdue=overdue, before=before,
                         logged_ids=logged_ids)  # fmt: skip
            rows = DeltaDoor(home.root / raw.delta.path).scan(raw.delta.version)
            content = write_finding(folder, model=model, rollout=asked, raw=rows,
                                    log=log.scan(version) if version is not None else None)  # fmt: skip
            context.log.info(f"{content['verdict']}: {content['reason']}")
            return Made(content=content)

        def promise(_: Recipe) -> None:
            records.give(_promised(rollout, stations.input(f"{prefix}/{STATION}").manifest))

        yield stations.make(context, kind="rollout_finding", code=code, config=config, inputs=inputs, work=work,
                            show=_show, after=promise)  # fmt: skip

    return judged


def _promised(rollout: Rollout, finding: Manifest) -> Promise:
    """What a finding, made now or before, promises from now on."""
    told, now = finding.content, datetime.now(UTC)
    return Promise(
        rollout=told["rollout"], verdict=told["verdict"], reason=told["reason"], finding=finding.digest,
        looks=told["looks"], at=now.isoformat(), until=(now + patience(rollout)).isoformat(),
    )  # fmt: skip


def is_overdue(rollout: Rollout, begun: Move, now: datetime) -> bool:
    """Whether a rollout has lasted for as long as it may."""
    return now - datetime.fromisoformat(begun.at) >= timedelta(days=rollout.max_days)


def _before(refs: Refs, recipe: Recipe) -> Mapping[str, str]:
    """The finding whose looks this one goes on from, by its role; where nothing is new, the one it went on from."""
    had = refs.recipe(recipe.station)
    if had is None or had.inputs.get("rollout") != recipe.inputs["rollout"]:
        return {}
    inputs = {role: digest for role, digest in had.inputs.items() if role != _BEFORE}
    if replace(had, inputs=inputs).key == recipe.key:
        return {role: digest for role, digest in had.inputs.items() if role == _BEFORE}
    return {_BEFORE: refs.read(recipe.station).manifest.digest}


def _show(artifact: Artifact) -> dict[str, Any]:
    content = artifact.manifest.content
    names = ("verdict", "reason", "kind", "looks", "answered", "labelled", "gain", "lower", "upper", "disagreement",
             "slowdown", "scored", "failed", "dropped")  # fmt: skip
    shown = {name: content[name] for name in names if content[name] is not None}
    shown |= {"version": int(content["version"]), "champion": int(content["champion"])}
    shown["open"] = content["verdict"] == GO_ON
    picture = "rollout.png"
    if picture in artifact.manifest.files:
        shown["picture"] = dg.MetadataValue.md(inline_picture(artifact, picture, "rollout"))
    return shown
