"""The skew report of each candidate as a Dagster asset."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_platform.monitoring.skew.figures import feature_table, inline_picture, read_report
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.automation import follows_data
from mlops_platform.resources.mlflow import Tracked
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
        "skew": dg.MetadataValue.md(inline_picture(artifact)),
    }


def _track(artifact: Artifact) -> Tracked:
    content = artifact.manifest.content
    scores = {f"skew.scores.{name}": value for name, value in content["scores"].items() if value is not None}
    rates = [*content["mismatched"].values(), *content["coded_otherwise"].values()]
    metrics = {"skew.rows": content["rows"], "skew.largest_rate": max(rates, default=0.0), **scores}
    return Tracked(metrics={name: float(value) for name, value in metrics.items()})
