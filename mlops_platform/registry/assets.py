"""The registered model and the champion as Dagster assets."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_platform.manifest import short
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.automation import follows_data
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.mlflow import MlflowDoor, tracked_content
from mlops_platform.resources.station import Made, Stations, actor
from mlops_platform.spec import Model, Project

if TYPE_CHECKING:
    from mlops_platform.registry.alias import ChampionAlias
_SPENT = ("device_seconds", "cost")


def registered_model_asset(project: Project, model: Model) -> dg.AssetsDefinition:
    """The challenger's version in MLflow's registry."""

    @dg.asset(
        key=[project.name, model.name, "registered_model"],
        deps=[[project.name, model.name, station] for station in ("dataset", "checkpoint", "evaluation")],
        group_name="registry",
        owners=[project.owner],
        kinds={"mlflow", "onnx"},
        automation_condition=follows_data(dg.AssetKey([project.name, model.name, "dataset"])),
        description=f"Registered model {project.name}.{model.name}: a version of the checkpoint, alias challenger.",
    )
    def registered_model(context: dg.AssetExecutionContext, stations: Stations) -> dg.MaterializeResult:
        from mlops_platform.resources.aliases import registered_name

        prefix = f"{project.name}/{model.name}"
        dataset, checkpoint, evaluation = (
            stations.input(f"{prefix}/{station}") for station in ("dataset", "checkpoint", "evaluation")
        )
        door = stations.tracking(project.name)
        name = registered_name(project.name, model.name)

        def work(folder: Path) -> Made:
            tags = _tags(project, model, stations, dataset, checkpoint, evaluation)
            return Made(content=_register(stations, door, name, dataset, checkpoint, tags, folder))

        return stations.make(
            context,
            kind="registered_model",
            code=("mlops_platform.registry.package:write_package", "mlops_platform.registry.package:package_agrees",
                  "mlops_platform.registry.versions:register"),
            config={"name": name, "service": model.feature_service},
            inputs={"checkpoint": checkpoint.manifest.digest, "dataset": dataset.manifest.digest,
                    "evaluation": evaluation.manifest.digest},
            work=work,
            show=_show_version,
            track=lambda artifact: tracked_content(artifact.manifest.content),
            redo=not door.exists,
            outside=True,
        )  # fmt: skip

    return registered_model


def _register(
    stations: Stations,
    door: MlflowDoor,
    name: str,
    dataset: Artifact,
    checkpoint: Artifact,
    tags: Mapping[str, str],
    folder: Path,
) -> dict[str, Any]:
    """Packages the checkpoint, compares the package with it, and registers it; returns the station's content."""
    import polars as pl

    from mlops_platform.registry.package import package_agrees, write_package
    from mlops_platform.registry.versions import register

    examples = pl.read_parquet(dataset.file("holdout.parquet"), n_rows=100)
    package = folder / "model"
    write_package(checkpoint, examples, package)
    source = stations.home.mlflow / "models" / checkpoint.folder.name
    if not source.is_dir():
        _copy_whole(package, source)
    # What MLflow will serve is compared, not the draft beside it.
    agreement = package_agrees(source, checkpoint, examples)
    version = register(
        door,
        name,
        source,
        checkpoint.manifest.digest,
        tags,
        run_id=stations.tracked_run(checkpoint),
        description=f"checkpoint {short(checkpoint.manifest.digest)} of dataset {short(dataset.manifest.digest)}",
    )
    digests = {"checkpoint": checkpoint.manifest.digest, "dataset": dataset.manifest.digest}
    return {"name": name, "version": version, **digests, **agreement}


def _tags(
    project: Project,
    model: Model,
    stations: Stations,
    dataset: Artifact,
    checkpoint: Artifact,
    evaluation: Artifact,
) -> dict[str, str]:
    """Tags of a model version; those of Feast are named as its own MLflow integration names them."""
    produced = checkpoint.manifest.produced
    spent = {f"mlops.{name}": f"{produced.measured[name]:.6g}" for name in _SPENT if name in produced.measured}
    return {
        **spent,
        "mlops.dataset": checkpoint.manifest.recipe.inputs["dataset"],
        "mlops.evaluation": evaluation.manifest.digest,
        "mlops.code": checkpoint.manifest.recipe.code,
        "mlops.git_revision": produced.git_revision or "not recorded",
        "mlops.environment": stations.home.environment,
        "mlops.correlation_id": produced.correlation_id,
        "dagster_run_id": produced.run_id,
        "feast.feature_service": model.feature_service,
        "feast.feature_views": ",".join(project.feature_columns(model)),
    }


def champion_asset(project: Project, model: Model) -> dg.AssetsDefinition:
    """What is live: moved by the gate's verdict or by a person, and by nothing else."""

    @dg.asset(
        key=[project.name, model.name, "champion"],
        deps=[[project.name, model.name, station] for station in ("registered_model", "gate", "skew")],
        group_name="registry",
        owners=[project.owner],
        kinds={"mlflow"},
        automation_condition=follows_data(),
        description=f"Champion of {model.name}: the version that is live, and the history of how it came to be.",
    )
    def champion(context: dg.AssetExecutionContext, stations: Stations) -> dg.MaterializeResult:
        from mlops_platform.registry.candidate import judged_candidate
        from mlops_platform.registry.promotion import decide

        registered = stations.input(f"{project.name}/{model.name}/registered_model").manifest
        gate = stations.input(f"{project.name}/{model.name}/gate").manifest
        skew = stations.input(f"{project.name}/{model.name}/skew").manifest
        judged = judged_candidate(project, model, gate, registered, skew)
        alias = champion_alias(stations, project, model)
        history, rollout = alias.history, model.serving.rollout

        def work(folder: Path) -> Made:
            with history.lock():
                known = len(history.moves())
                alias.settle(context.run.run_id)
                found = history.moves()[known:]
                move = decide(history, judged, actor=actor(context.run.tags), run_id=context.run.run_id,
                              require_approval=model.gate.require_approval, rollout=rollout is not None)  # fmt: skip
                before = alias.carry_out()
            for entry in found:
                context.log.warning(f"{entry.action}: {entry.reason}")
            context.log.info(f"{move.action}: {move.reason}")
            told = {"action": move.action, "reason": move.reason}
            (folder / "move.json").write_text(json.dumps(told, sort_keys=True))
            content = {"version": move.champion, "checkpoint": move.checkpoint, **told}
            return Made(content=content, measured={"alias_before": before})

        return stations.make(
            context,
            kind="champion",
            code=("mlops_platform.registry.promotion:decide", "mlops_platform.registry.alias:ChampionAlias"),
            config={"model": model.name, "require_approval": model.gate.require_approval,
                    **({"rollout": True} if rollout is not None else {})},
            inputs={"verdict": gate.digest, "registered_model": registered.digest, "skew": skew.digest,
                    "history": history.head_before(gate.digest)},
            work=work,
            show=lambda artifact: _show_champion(artifact, history),
            # An alias moved by hand goes back to where the history says; a rehearsal cut off is ended.
            redo=_out_of_step(alias),
            track=lambda artifact: tracked_content(artifact.manifest.content),
        )  # fmt: skip

    return champion


def champion_alias(stations: Stations, project: Project, model: Model) -> "ChampionAlias":
    """A model's champion: its history and its alias."""
    from mlops_platform.registry.alias import ChampionAlias
    from mlops_platform.resources.aliases import registered_name

    history = PromotionHistory(stations.home, project.name, model.name)
    return ChampionAlias(
        history=history, door=stations.tracking(project.name), name=registered_name(project.name, model.name)
    )


def rollback_job(project: Project) -> dg.JobDefinition:
    """The job that does what ``mlops rollback`` does; its configuration names model, version and person."""
    fields = {
        "model": dg.Field(str, description="name of the model"),
        "to": dg.Field(str, is_required=False, description="version; by default the one that was live before"),
        "by": dg.Field(str, description="who asks"),
        "because": dg.Field(str, description="why"),
    }

    @dg.op(name=f"{project.name}_roll_back", config_schema=fields, description="Makes an earlier champion live again.")
    def roll_back(context: dg.OpExecutionContext, stations: Stations) -> None:
        from mlops_platform.registry.by_person import Asked, rollback

        config = context.op_config
        alias = champion_alias(stations, project, project.model(config["model"]))
        asked = Asked(by=config["by"], because=config["because"], run_id=context.run_id)
        move = rollback(alias, asked, to=config.get("to"))
        context.log.info(f"version {move.champion} is live again; version {move.previous} is barred")

    @dg.job(name=f"{project.name}_rollback", description="Rolls a model back; the version left is barred.")
    def job() -> None:
        roll_back()

    return job


def _out_of_step(alias: "ChampionAlias") -> bool:
    """Whether MLflow or a rehearsal left the champion elsewhere than the history wants it."""
    live = alias.history.live()
    if not alias.door.exists:
        return live is not None
    return alias.history.cut_off() is not None or alias.pointed() != (live.champion if live else None)


def _copy_whole(package: Path, target: Path) -> None:
    """Copies a folder so that it is seen whole or not at all."""
    import shutil
    import tempfile

    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=target.parent)) / target.name
    shutil.copytree(package, draft)
    draft.rename(target)
    draft.parent.rmdir()


def _show_version(artifact: Artifact) -> dict[str, object]:
    content = artifact.manifest.content
    return {"name": content["name"], "version": int(content["version"]), "checkpoint": short(content["checkpoint"])}


def _show_champion(artifact: Artifact, history: PromotionHistory) -> dict[str, object]:
    content = artifact.manifest.content
    version = content["version"]
    shown: dict[str, object] = {
        "champion": "none yet" if version is None else f"version {version}",
        "decision": content["action"], "reason": content["reason"],
    }  # fmt: skip
    if version is not None:
        shown["version"] = int(version)
    begun, rehearsed = history.rollout(), history.rehearsed()
    if begun is not None:
        shown["rollout"] = f"version {begun.version} meets live traffic since {begun.at}"
    if rehearsed is not None:
        shown["rollback_rehearsed"] = f"last rehearsed {rehearsed.at}, took {rehearsed.seconds:.2f} s"
    barred = [f"version {move.version}" for move in history.barred().values()]
    return {**shown, "barred": ", ".join(barred)} if barred else shown
