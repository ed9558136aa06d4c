"""The checkpoint station."""

import importlib.metadata
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_platform.errors import KilledError
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.compute import ComputeResource, ResolvedCompute
from mlops_platform.resources.mlflow import Tracked
from mlops_platform.resources.station import Made, Stations
from mlops_platform.spec import Model, Project
from mlops_platform.training.job import TRAIN, VALIDATION, Device, Job
from mlops_platform.training.record import CURVES, TRAINING, Training, curves_by_name, params, picture, read_curves

WORK = "mlops_platform.training.program.fit:train"


def checkpoint_asset(project: Project, model: Model) -> dg.AssetsDefinition:
    """The station that trains a model."""
    dataset = [project.name, model.name, "dataset"]

    @dg.asset(
        key=[project.name, model.name, "checkpoint"], deps=[dg.AssetKey(dataset)], group_name="training",
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
        leases = stations.home.leases

        def work(output: Path) -> Made:
            job = _job(model, numeric, source, output, resolved)
            return _made(output, _trained(context, compute, resolved, job, leases))

        return stations.make(
            context, kind="checkpoint", code=(WORK, model.network.module),
            config={"network": asdict(model.network), "numeric": list(numeric), "categories": list(model.categories)},
            inputs={"dataset": source.manifest.digest}, work=work, show=_show, track=_track,
            software={**resolved.software, "onnxscript": importlib.metadata.version("onnxscript")},
        )  # fmt: skip

    return checkpoint


def _trained(context: dg.AssetExecutionContext, compute: ComputeResource, resolved: ResolvedCompute, job: Job,
             leases: Path) -> Mapping[str, Any]:  # fmt: skip
    """The program's last message; a program that was killed is started once more, from nothing."""
    with tempfile.TemporaryDirectory(prefix="mlops-training-") as folder:
        path = job.write(Path(folder) / "job.json")
        try:
            return compute.run(context, resolved, path, leases)[-1]
        except KilledError as killed:
            context.log.warning(f"training begins anew: {killed.found}")
            shutil.rmtree(job.output)
            job.output.mkdir()
            return compute.run(context, resolved, path, leases)[-1]


def _job(model: Model, numeric: tuple[str, ...], dataset: Artifact, output: Path, compute: ResolvedCompute) -> Job:
    return Job(
        train=dataset.file(TRAIN), validation=dataset.file(VALIDATION), output=output, numeric=numeric,
        categories=model.categories, network=model.network,
        device=Device(accelerator=compute.accelerator, devices=compute.devices, precision=compute.precision,
                      threads=compute.threads),
    )  # fmt: skip


def _made(output: Path, finished: Mapping[str, Any]) -> Made:
    training = Training.from_json((output / TRAINING).read_bytes())
    return Made(
        content={**training.metrics(), "rows": training.train_rows, "parameters": training.parameters},
        measured={name: value for name, value in finished.items() if name != "event"},
    )


def _track(artifact: Artifact) -> Tracked:
    training = Training.from_json(artifact.file(TRAINING).read_bytes())
    recipe = artifact.manifest.recipe
    return Tracked(
        params={**params(recipe.config["network"]), **recipe.software},
        metrics={**training.metrics(), "best_epoch": training.best_epoch + 1, "parameters": training.parameters},
        curves=curves_by_name(read_curves(artifact.file(CURVES).read_bytes())),
        tags={"mlops.dataset": recipe.inputs["dataset"]},
    )


def _show(artifact: Artifact) -> dict[str, Any]:
    training = Training.from_json(artifact.file(TRAINING).read_bytes())
    curves = read_curves(artifact.file(CURVES).read_bytes())
    measured = artifact.manifest.produced.measured
    return {
        **training.metrics(),
        "best_epoch": training.best_epoch + 1,
        "parameters": training.parameters,
        "rows_per_second": measured["rows_per_second"],
        "learning_curves": dg.MetadataValue.md(picture(curves, training.best_epoch)),
    }
