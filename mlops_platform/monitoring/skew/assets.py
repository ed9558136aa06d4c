"""The skew report of each candidate as a Dagster asset."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_platform.monitoring.skew.figures import (
    PICTURE,
    feature_table,
    live_said,
    live_table,
    read_live_report,
    read_report,
)
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.automation import LAST, daily, follows_data
from mlops_platform.resources.mlflow import Tracked
from mlops_platform.resources.pictures import inline_picture
from mlops_platform.resources.station import Made, Stations
from mlops_platform.spec import Model, Project


def skew_asset(project: Project, model: Model) -> dg.AssetsDefinition:
    """Holdout rows of the candidate's dataset, replayed through the online path."""

    @dg.asset(
        key=[project.name, model.name, "skew"],
        deps=[[project.name, model.name, "dataset"], [project.name, model.name, "checkpoint"]],
        group_name="monitoring",
        owners=[project.owner],
        kinds={"polars", "onnx", "sqlite"},
        # It is about a candidate: new data ask the retraining policy, and not for another look at the old one.
        automation_condition=follows_data(dg.AssetKey([project.name, model.name, "dataset"])),
        description=f"Train/serve skew of {model.name}: holdout rows asked again through the online path, feature by "
        "feature and score by score.",
    )
    def skew(context: dg.AssetExecutionContext, stations: Stations) -> dg.MaterializeResult:
        dataset = stations.input(f"{project.name}/{model.name}/dataset")
        checkpoint = stations.input(f"{project.name}/{model.name}/checkpoint")

        def work(folder: Path) -> Made:
            from mlops_platform.monitoring.skew.report import write_report
            from mlops_platform.resources.delta import DeltaDoor

            cited = dataset.manifest.recipe.inputs
            refs = {name: stations.store.open("features", cited[f"features:{name}"]).manifest.delta
                    for name in project.feature_columns(model)}  # fmt: skip
            tables = {name: DeltaDoor(stations.home.root / ref.path).scan(ref.version) for name, ref in refs.items()}
            content = write_report(folder, home=stations.home, project=project, model=model, dataset=dataset,
                                   checkpoint=checkpoint, tables=tables)  # fmt: skip
            context.log.info(_said(content))
            return Made(content=content)

        return stations.make(
            context,
            kind="skew",
            code=("mlops_platform.monitoring.skew.report:write_report",),
            config={"model": model.name, "id": model.examples.id, "skew": asdict(model.skew),
                    "features": _declared(project, model), **model.task.recipe()},
            inputs={"dataset": dataset.manifest.digest, "checkpoint": checkpoint.manifest.digest},
            work=work,
            show=_show,
            track=_track,
        )  # fmt: skip

    return skew


def live_skew_asset(project: Project, model: Model) -> dg.AssetsDefinition:
    """A day's live answers, asked again offline as of their time; once a day."""
    tables = list(project.feature_columns(model))

    @dg.asset(
        key=[project.name, model.name, "live_skew"],
        deps=[
            [project.name, model.name, "predictions"],
            [project.name, "feast", "registry"],
            *([project.name, "features", name] for name in tables),
        ],
        group_name="monitoring",
        owners=[project.owner],
        kinds={"polars", "feast", "deltalake"},
        automation_condition=daily(),
        op_tags=LAST,
        # Before the first live answer there is nothing to compare, and that is no failure.
        output_required=False,
        description=f"Live train/serve skew of {model.name}: a day's live answers, asked again offline as of their "
        "time; what was told otherwise was late, missing, stale, early or wrong.",
    )
    def live_skew(context: dg.AssetExecutionContext, stations: Stations) -> Iterator[dg.MaterializeResult]:
        from mlops_platform.monitoring.skew.logged import newest_answer
        from mlops_platform.resources.delta import DeltaDoor
        from mlops_platform.resources.prediction_log.personal import personal_columns

        log = DeltaDoor(stations.home.prediction_log(project.name, model.name))
        version = log.version if log.exists else None
        until = newest_answer(log.scan(version)) if log.exists else None
        hidden = personal_columns(project, model).hashed & set(project.entity_keys(model))
        if until is None or hidden:
            why = f"the log has only hashes of {', '.join(sorted(hidden))}" if hidden else "no live answer is logged"
            stations.skip(context, f"{why}: there is nothing to ask again")
            return
        read = {name: stations.input(f"{project.name}/features/{name}").manifest for name in tables}
        registry = stations.input(f"{project.name}/feast/registry").manifest

        def work(folder: Path) -> Made:
            from mlops_platform.monitoring.skew.live import answered_again

            content = answered_again(folder, home=stations.home, project=project, model=model,
                                     log=log.scan(version), until=until, read=read)  # fmt: skip
            context.log.info(live_said(content))
            return Made(content=content)

        yield stations.make(
            context,
            kind="live_skew",
            code=("mlops_platform.monitoring.skew.live:answered_again",),
            config={"model": model.name, "skew": asdict(model.skew), "features": _declared(project, model),
                    "service": model.feature_service},
            inputs={"log": f"version {version}", "registry": registry.digest,
                    **{f"features:{name}": manifest.digest for name, manifest in read.items()}},
            work=work,
            show=_show_live,
            track=_track_live,
        )  # fmt: skip

    return live_skew


def _declared(project: Project, model: Model) -> dict[str, Any]:
    """What decides how the features are brought online and read."""
    tables = {name: project.feature_table(name) for name in project.feature_columns(model)}
    return {name: {"keys": list(table.keys), "columns": [repr(column) for column in table.columns], "ttl": table.ttl,
                   "read": [column.name for column in project.feature_columns(model)[name]]}
            for name, table in tables.items()}  # fmt: skip


def _said(content: dict[str, Any]) -> str:
    different = content["mismatched"] | content["coded_otherwise"]
    found = ", ".join(f"{name} in {rate:.1%}" for name, rate in different.items()) or "nothing"
    return f"{content['rows']} rows asked online at {content['moments']} moments; told otherwise: {found}"


def _show(artifact: Artifact) -> dict[str, Any]:
    content, report = artifact.manifest.content, read_report(artifact)
    names = ("holdout_rows", "moments", "unseen_rate", "scores_not_compared")
    scores = {f"scores_{name}": value for name, value in content["scores"].items() if value is not None}
    return {
        "told": _said(dict(content)),
        **{name: content[name] for name in names if content[name] is not None},
        **scores,
        "by_feature": dg.MetadataValue.md(feature_table(report)),
        "skew": dg.MetadataValue.md(inline_picture(artifact, PICTURE, "skew")),
    }


def _track(artifact: Artifact) -> Tracked:
    content = artifact.manifest.content
    scores = {f"skew.scores.{name}": value for name, value in content["scores"].items() if value is not None}
    rates = [*content["mismatched"].values(), *content["coded_otherwise"].values()]
    metrics = {"skew.rows": content["rows"], "skew.largest_rate": max(rates, default=0.0), **scores}
    return Tracked(metrics={name: float(value) for name, value in metrics.items()})


def _show_live(artifact: Artifact) -> dict[str, Any]:
    content, report = artifact.manifest.content, read_live_report(artifact)
    names = ("rows", "answers", "since", "until", "longest_lag")
    return {
        "told": live_said(content),
        **{name: content[name] for name in names if content[name] is not None},
        "classes": dg.MetadataValue.json(dict(content["classes"])),
        "by_feature": dg.MetadataValue.md(live_table(report)),
    }


def _track_live(artifact: Artifact) -> Tracked:
    content = artifact.manifest.content
    figures = {"rows": content["rows"], "largest_rate": max(content["mismatched"].values(), default=0.0),
               **content["classes"]}  # fmt: skip
    return Tracked(metrics={f"live_skew.{name}": float(value) for name, value in figures.items()})
