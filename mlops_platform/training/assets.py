"""The checkpoint station."""

import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_platform.manifest import Manifest, Recipe, short
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.compute import ComputeResource, ResolvedCompute
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.locks import exclusive
from mlops_platform.resources.memo import recipe_of
from mlops_platform.resources.mlflow import Tracked
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.station import Made, Stations
from mlops_platform.spec import Model, Network, Project
from mlops_platform.spec.network import LATEST
from mlops_platform.training.attempts import until_finished
from mlops_platform.training.checks import red_check
from mlops_platform.training.costs import GOODPUT, measured, metrics, table
from mlops_platform.training.costs import picture as drawn
from mlops_platform.training.halving import until_it_fits
from mlops_platform.training.job import CONTEXT, HOLDOUT, TRAIN, VALIDATION, Device, Job, Start
from mlops_platform.training.record import (
    CURVES,
    TRAINING,
    Training,
    WarmStart,
    curves_by_name,
    params,
    picture,
    read_curves,
)
from mlops_platform.training.start import ROLE, known_until, start_input
from mlops_platform.training.tuning.best import ROLE as TUNING
from mlops_platform.training.tuning.best import tuned

WORK = "mlops_platform.training.program.fit:train"
HALVING = "mlops_platform.training.halving:until_it_fits"
START = "mlops_platform.training.start:known_until"


def checkpoint_asset(project: Project, model: Model) -> dg.AssetsDefinition:
    """The station that trains a model."""
    dataset = [project.name, model.name, "dataset"]
    follows = [TUNING] if model.network.tuned == LATEST else []
    deps = [dg.AssetKey([project.name, model.name, station]) for station in ("dataset", *follows)]

    @dg.asset(
        key=[project.name, model.name, "checkpoint"], deps=deps, group_name="training",
        kinds={"pytorch", "onnx"}, owners=[project.owner], pool=model.compute.pool,
        description=f"Trained weights of {model.name} and the exported program that scores with them. "
        f"{model.description}".strip(),
    )  # fmt: skip
    def checkpoint(
        context: dg.AssetExecutionContext, stations: Stations, compute: ComputeResource
    ) -> dg.MaterializeResult:
        source = stations.input("/".join(dataset))
        resolved = compute.resolve(model.compute)
        numeric = project.numeric_columns(model)
        network, tuning = tuned(Refs(stations.home), "/".join([project.name, model.name, TUNING]), model.network)
        software = {**resolved.software, "onnxscript": importlib.metadata.version("onnxscript")}
        code: tuple[str, ...] = (WORK, network.module)
        if model.network.on_out_of_memory == "halve":
            code = (*code, HALVING)
        config = {"network": network.recipe(), "numeric": list(numeric), "categories": list(model.categories),
                  **model.task.recipe()}  # fmt: skip
        inputs = {"dataset": source.manifest.digest, **tuning}
        station = "/".join(context.asset_key.path)
        if model.network.warm_start:
            code = (*code, START)
            recipe, _ = recipe_of(station, code=code, config=config, inputs=inputs, software=software)
            history = PromotionHistory(stations.home, project.name, model.name)
            inputs |= start_input(Refs(stations.home), history, recipe, source.manifest)

        def work(output: Path) -> Made:
            start = stations.store.open("checkpoint", inputs[ROLE]) if ROLE in inputs else None
            job = job_of(model, network, numeric, source, output, resolved, start)
            own = recipe_of(station, code=code, config=config, inputs=inputs, software=software)[0].key
            job = replace(job, saves=stations.home.saves(own), saving=model.saving, identity=own)
            # Whoever asks: never two trainings of one model at a time.
            with exclusive(stations.home, f"{project.name}.{model.name}.training"):
                finished = until_it_fits(
                    job,
                    lambda job: _trained(context, compute, resolved, job, stations.home.leases),
                    context.log.warning,
                )
            until = _start_known_until(stations, start.manifest) if start else None
            told = {**finished, "compute": asdict(resolved)}
            return _made(output, told, resolved.price_per_device_hour, until)

        def forget(recipe: Recipe) -> None:
            shutil.rmtree(stations.home.saves(recipe.key), ignore_errors=True)

        with red_check(context):
            return stations.make(context, kind="checkpoint", code=code, config=config, inputs=inputs,
                                 software=software, work=work, show=_show, track=_track, after=forget)  # fmt: skip

    return checkpoint


def _trained(context: dg.AssetExecutionContext, compute: ComputeResource, resolved: ResolvedCompute, job: Job,
             leases: Path) -> Mapping[str, Any]:  # fmt: skip
    """The program's last message; a program that was killed is started again, and goes on from its newest save."""
    # In the home, which a cluster's machines see, too; named as staging folders are, to be swept with them.
    beside, prefix = job.output.parent, f"{os.getpid()}-job-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=beside, ignore_cleanup_errors=True) as folder:
        path = job.write(Path(folder) / "job.json")
        return until_finished(lambda: compute.run(context, resolved, path, leases)[-1], job, context.log.warning)


def job_of(model: Model, network: Network, numeric: tuple[str, ...], dataset: Artifact, output: Path,
           compute: ResolvedCompute, start: Artifact | None = None) -> Job:  # fmt: skip
    """What the program is told of a training.

    Args:
        model: The declaration.
        network: As it is trained, in the place of the declared one.
        numeric: Names of the numeric columns.
        dataset: To train on.
        output: Receives the checkpoint's files.
        compute: What it runs on.
        start: The checkpoint to begin from.
    """
    return Job(
        train=dataset.file(TRAIN), validation=dataset.file(VALIDATION), output=output, numeric=numeric,
        categories=model.categories, network=network, task=model.task,
        device=Device(accelerator=compute.accelerator, devices=compute.devices, nodes=compute.nodes,
                      precision=compute.precision, strategy=compute.strategy, compile=compute.compile,
                      threads=compute.threads),
        start=Start(folder=start.folder, digest=start.manifest.digest) if start else None,
        context=dataset.file(CONTEXT) if model.network.sequence is not None else None,
        holdout=dataset.file(HOLDOUT),
    )  # fmt: skip


def _start_known_until(stations: Stations, start: Manifest) -> str:
    return known_until(stations.store.open("dataset", start.recipe.inputs["dataset"]).manifest, start)


def _made(output: Path, finished: Mapping[str, Any], price: float | None, start_known_until: str | None) -> Made:
    training = Training.from_json((output / TRAINING).read_bytes())
    begun = training.warm_start
    warm = {ROLE: {**asdict(begun), "known_until": start_known_until}} if begun is not None else {}
    return Made(
        content={**training.metrics(), "rows": training.train_rows, "parameters": training.parameters, **warm},
        measured=measured(finished, price),
    )


def _track(artifact: Artifact) -> Tracked:
    training = Training.from_json(artifact.file(TRAINING).read_bytes())
    recipe, begun = artifact.manifest.recipe, training.warm_start
    start = {"mlops.warm_start": recipe.inputs[ROLE]} if ROLE in recipe.inputs else {}
    warm = {"warm_start.taken": begun.taken, "warm_start.fresh": begun.fresh} if begun is not None else {}
    return Tracked(
        params={**params(recipe.config["network"]), **recipe.software, **warm, **training.pieces()},
        metrics={**training.metrics(), "best_epoch": training.best_epoch + 1, "parameters": training.parameters,
                 **metrics(artifact.manifest.produced.measured)},
        curves=curves_by_name(read_curves(artifact.file(CURVES).read_bytes())),
        tags={"mlops.dataset": recipe.inputs["dataset"], **start},
    )  # fmt: skip


def _show(artifact: Artifact) -> dict[str, Any]:
    training = Training.from_json(artifact.file(TRAINING).read_bytes())
    curves = read_curves(artifact.file(CURVES).read_bytes())
    figures = artifact.manifest.produced.measured
    return {
        **training.metrics(),
        "best_epoch": training.best_epoch + 1,
        "parameters": training.parameters,
        **({"compute": dg.MetadataValue.json(figures["compute"])} if "compute" in figures else {}),
        "rows_per_second": figures["rows_per_second"],
        **(_show_spent(figures) if GOODPUT in figures else {}),
        "learning_curves": dg.MetadataValue.md(picture(curves, training.best_epoch)),
        **training.pieces(),
        **(_show_start(artifact.manifest, training.warm_start) if training.warm_start is not None else {}),
    }


def _show_spent(figures: Mapping[str, Any]) -> dict[str, Any]:
    names = ("goodput_share", "stall_share", "attempts", "lost_steps", "device_seconds", "cost")
    told = {name: figures[name] for name in names if name in figures}
    shown = f"{drawn(figures)}\n\n{table(figures)}"
    return {"where_time_went": dg.MetadataValue.md(shown), **told, **figures["usage"]}


def _show_start(manifest: Manifest, begun: WarmStart) -> dict[str, Any]:
    rows = ["| category | rows carried | new | dropped |", "|---|---|---|---|"]
    rows += [f"| {name} | {r.carried:,} | {r.new:,} | {r.dropped:,} |" for name, r in begun.embeddings.items()]
    return {
        "warm_start": short(manifest.recipe.inputs[ROLE]),
        "parameters_taken": begun.taken,
        "parameters_fresh": begun.fresh,
        "embeddings_taken": dg.MetadataValue.md("\n".join(rows)),
    }
