"""The monitoring report as a Dagster asset."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_platform.errors import MissingArtifactError
from mlops_platform.monitoring.figures import PICTURE, metric_table, read_report
from mlops_platform.monitoring.live import Live, evaluation_of
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.automation import follows_data
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import tracked_content
from mlops_platform.resources.pictures import inline_picture
from mlops_platform.resources.station import Made, Stations
from mlops_platform.spec import Model, Project

if TYPE_CHECKING:
    from mlops_platform.resources.delta import DeltaDoor


def monitoring_asset(project: Project, model: Model) -> dg.AssetsDefinition:
    """What became of the live champion's answers, as far as labels are known.

    Its inputs tell the prediction log by its version: the log is append-only, so that is all of its content.
    """
    source = model.examples.source

    @dg.asset(
        key=[project.name, model.name, "monitoring"],
        deps=[
            [project.name, model.name, "predictions"],
            [project.name, "raw", source],
            [project.name, model.name, "evaluation"],
        ],
        group_name="monitoring",
        owners=[project.owner],
        kinds={"polars", "scikit-learn"},
        automation_condition=follows_data(),
        output_required=False,
        description=f"Monitoring report of {model.name}: its predictions beside the labels that arrived since, and "
        "whether they are worse than its evaluation.",
    )
    def monitoring(context: dg.AssetExecutionContext, stations: Stations) -> Iterator[dg.MaterializeResult]:
        from mlops_platform.monitoring.prediction_log import labels_config, shipped_log
        from mlops_platform.resources.delta import DeltaDoor

        home = stations.home
        live = _live(stations, PromotionHistory(home, project.name, model.name))
        if live is None:
            stations.skip(context, f"no version passed the gate yet; mlops history {model.name} says why")
            return
        predictions = stations.input(f"{project.name}/{model.name}/predictions").manifest
        raw = stations.input(f"{project.name}/raw/{source}").manifest
        log, logged_ids = shipped_log(home, project, model)
        answered = _version(log, home, model)

        def work(folder: Path) -> Made:
            from mlops_platform.monitoring.report import write_report

            rows = DeltaDoor(home.root / raw.delta.path).scan(raw.delta.version)
            content = write_report(folder, model=model, live=live, log=log.scan(answered), raw=rows,
                                   logged_ids=logged_ids)  # fmt: skip
            context.log.info(content["reason"])
            return Made(content=content)

        yield stations.make(
            context,
            kind="monitoring_report",
            code=("mlops_platform.monitoring.report:write_report", model.examples.labelled),
            config={**labels_config(model), "monitoring": asdict(model.monitoring)},
            inputs={"predictions": predictions.digest, "log": f"version {answered}", f"raw:{source}": raw.digest,
                    **_told(live)},
            work=work,
            show=_show,
            track=lambda artifact: tracked_content(artifact.manifest.content),
        )  # fmt: skip

    return monitoring


def _version(log: "DeltaDoor", home: Home, model: Model) -> int:
    """The log's newest version; a champion has answered, so that there is one."""
    if not log.exists:
        raise MissingArtifactError(
            required=f"the prediction log of {model.name}", found=f"no table {home.relative(log.path)}",
            remedy="restore it from a backup: a log that is gone is not written again",
        )  # fmt: skip
    return log.version


def _told(live: Live) -> dict[str, str]:
    """What is live as inputs, by their roles."""
    evaluation = {"evaluation": live.evaluation.manifest.digest} if live.evaluation else {}
    return {"checkpoint": live.checkpoint, "version": live.version, **evaluation}


def _live(stations: Stations, history: PromotionHistory) -> Live | None:
    """What is live, and the evaluation by which it came to be; None before the first champion."""
    champion = history.live()
    if champion is None:
        return None
    checkpoint = str(champion.checkpoint)
    evaluation = evaluation_of(stations.store, history.moves(), checkpoint)
    return Live(version=str(champion.champion), checkpoint=checkpoint, evaluation=evaluation)


def _show(artifact: Artifact) -> dict[str, Any]:
    content = artifact.manifest.content
    names = ("bad", "reason", "live", "expected", "lower", "upper", "since", "until", "days", "labelled",
             "answers", "repeated")  # fmt: skip
    shown = {name: content[name] for name in names if content[name] is not None}
    shown |= {"version": int(content["version"]), "compared": dg.MetadataValue.md(metric_table(read_report(artifact)))}
    # Without a known label there is nothing to draw.
    if PICTURE in artifact.manifest.files:
        shown["quality"] = dg.MetadataValue.md(inline_picture(artifact, PICTURE, "quality"))
    return shown
