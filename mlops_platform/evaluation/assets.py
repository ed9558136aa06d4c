"""Evaluation and gate as Dagster assets."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_platform.evaluation.figures import (
    condition_table,
    metric_figures,
    metric_table,
    pictures_of,
    read_report,
    slice_table,
    step_table,
)
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.automation import follows_data
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.mlflow import Tracked, tracked_content
from mlops_platform.resources.pictures import inline_picture
from mlops_platform.resources.station import Made, Stations
from mlops_platform.spec import Gate, Model, Project


def evaluation_asset(project: Project, model: Model) -> dg.AssetsDefinition:
    """The challenger measured on the holdout, beside the champion it has to beat and a logistic regression.

    The champion is an input by its digest: a new champion means a new evaluation.
    """

    @dg.asset(
        key=[project.name, model.name, "evaluation"],
        deps=[[project.name, model.name, "dataset"], [project.name, model.name, "checkpoint"]],
        group_name="evaluation",
        owners=[project.owner],
        kinds={"onnx", "scikit-learn"},
        # A verdict is about a checkpoint: new data ask the retraining policy, not for another verdict on the old one.
        automation_condition=follows_data(dg.AssetKey([project.name, model.name, "dataset"])),
        description=f"Evaluation of {model.name}: metrics, slices, calibration and comparison of the newest checkpoint "
        "on the newest holdout.",
    )
    def evaluation(context: dg.AssetExecutionContext, stations: Stations) -> dg.MaterializeResult:
        dataset = stations.input(f"{project.name}/{model.name}/dataset")
        challenger = stations.input(f"{project.name}/{model.name}/checkpoint")
        history = PromotionHistory(stations.home, project.name, model.name)
        rival = history.rival(challenger.manifest.digest)
        champion = stations.store.open("checkpoint", rival) if rival else None

        def work(folder: Path) -> Made:
            """Runs only where an evaluation is really made: what is recorded once for each belongs here."""
            import polars as pl

            from mlops_platform.evaluation.evaluate import evaluate
            from mlops_platform.evaluation.latency import milliseconds_per_row

            content = evaluate(folder, project=project, model=model, store=stations.store, dataset=dataset,
                               challenger=challenger, champion=champion)  # fmt: skip
            context.log.info(metric_table(content["metrics"]))
            row = pl.read_parquet(dataset.file("holdout.parquet"), n_rows=1)
            return Made(content=content, measured={"milliseconds_per_row": milliseconds_per_row(challenger, row)})

        inputs = {"dataset": dataset.manifest.digest, "checkpoint": challenger.manifest.digest}
        return stations.make(
            context,
            kind="evaluation",
            code=("mlops_platform.evaluation.evaluate:evaluate",
                  "mlops_platform.evaluation.latency:milliseconds_per_row"),
            config={"id": model.examples.id, "numeric": list(project.numeric_columns(model)),
                    "categories": list(model.categories), "slices": list(model.slices), **model.task.recipe()},
            inputs={**inputs, "champion": champion.manifest.digest} if champion else inputs,
            work=work,
            show=_show_evaluation,
            track=_track,
        )  # fmt: skip

    return evaluation


def gate_asset(project: Project, model: Model) -> dg.AssetsDefinition:
    """The verdict on the challenger."""

    @dg.asset(
        key=[project.name, model.name, "gate"],
        deps=[[project.name, model.name, "evaluation"]],
        group_name="evaluation",
        owners=[project.owner],
        kinds={"numpy"},
        automation_condition=follows_data(),
        description=f"Gate of {model.name}: the conditions for promotion, each with its verdict in numbers.",
    )
    def gate(context: dg.AssetExecutionContext, stations: Stations) -> dg.MaterializeResult:
        judged = stations.input(f"{project.name}/{model.name}/evaluation")

        def work(folder: Path) -> Made:
            from mlops_platform.evaluation.gate import write_verdict

            dataset = stations.store.open("dataset", judged.manifest.recipe.inputs["dataset"])
            # What was measured stands beside the verdict: it would give equal evidence unequal digests.
            return Made(
                content=write_verdict(folder, judged, dataset, model.gate, model.task), measured=_measured(judged)
            )

        return stations.make(
            context,
            kind="verdict",
            code=("mlops_platform.evaluation.gate:write_verdict",),
            config={"gate": _asked(model.gate), **model.task.recipe()},
            inputs={"evaluation": judged.manifest.digest},
            work=work,
            show=_show_verdict,
            track=lambda artifact: tracked_content(artifact.manifest.content),
        )

    return gate


def _asked(gate: Gate) -> dict[str, Any]:
    """The gate without what only the champion's station reads."""
    return {name: value for name, value in asdict(gate).items() if name != "require_approval"}


def _measured(artifact: Artifact) -> dict[str, Any]:
    measured = artifact.manifest.produced.measured
    return {name: measured[name] for name in ("milliseconds_per_row",) if name in measured}


def _track(artifact: Artifact) -> Tracked:
    report = read_report(artifact)
    return Tracked(
        metrics={name: value for name, value in metric_figures(report).items() if isinstance(value, float)},
        files=[artifact.file(file) for file in pictures_of(report).values()],
        tags={"mlops.dataset": artifact.manifest.recipe.inputs["dataset"],
              "mlops.checkpoint": artifact.manifest.recipe.inputs["checkpoint"]},
    )  # fmt: skip


def _show_evaluation(artifact: Artifact) -> dict[str, Any]:
    report = read_report(artifact)
    return {
        **metric_figures(report),
        "compared": dg.MetadataValue.md(metric_table(report["metrics"])),
        **_measured(artifact),
        "by_slice": dg.MetadataValue.md(slice_table(report)),
        **({"by_step": dg.MetadataValue.md(step_table(report))} if "steps" in report else {}),
        **{
            name: dg.MetadataValue.md(inline_picture(artifact, file, file))
            for name, file in pictures_of(report).items()
        },
    }


def _show_verdict(artifact: Artifact) -> dict[str, Any]:
    verdict = artifact.manifest.content
    shown: dict[str, Any] = {
        "passed": verdict["passed"],
        "reason": verdict["reason"],
        **_measured(artifact),
        "conditions": dg.MetadataValue.md(condition_table(verdict["conditions"])),
    }
    for other in ("baseline", "champion"):
        found = verdict[f"against_{other}"]
        if found:
            names = ("difference", "lower", "upper", "standard_error")
            shown |= {f"{verdict['metric']}_{name}_{other}": found[name] for name in names}
    return shown
