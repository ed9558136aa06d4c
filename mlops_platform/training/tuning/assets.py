"""The tuning station: a study of trainings on a model's dataset, when a person asks for it."""

import json
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_platform.manifest import canonical_json, short
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.by_request import further_slot, is_asked, standing
from mlops_platform.resources.compute import ComputeResource
from mlops_platform.resources.locks import exclusive
from mlops_platform.resources.memo import recipe_of
from mlops_platform.resources.mlflow import Tracked
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.station import Made, Stations
from mlops_platform.spec import Model, Project, Tuning
from mlops_platform.spec.network import LATEST
from mlops_platform.training.assets import job_of
from mlops_platform.training.tuning.best import ROLE, pointed_to
from mlops_platform.training.tuning.record import (
    BEST,
    TRIALS,
    Trial,
    best_json,
    facts,
    picture,
    read_trials,
    table,
    trials_json,
)
from mlops_platform.training.tuning.study import Study
from mlops_platform.training.tuning.trials import Programs, run_study

_WORK = (
    "mlops_platform.training.program.trials:run_trials",
    "mlops_platform.training.tuning.trials:run_study",
    "mlops_platform.training.tuning.study:Study",
    "mlops_platform.training.tuning.record:best_json",
    "mlops_platform.training.tuning.record:trials_json",
    "mlops_platform.training.tuning.record:facts",
)


class Asked(dg.Config):
    """What a person may ask for; zero is what is declared.

    Attributes:
        trials: How many in all, those that were done before counted.
        parallel: How many at a time.
        timeout_seconds: After which no further trial begins; zero is never.
    """

    trials: int = 0
    parallel: int = 0
    timeout_seconds: float = 0.0


def tuning_asset(project: Project, model: Model, tuning: Tuning) -> dg.AssetsDefinition:
    """The station that looks for better values of a model's network."""
    dataset, checkpoint = ([project.name, model.name, last] for last in ("dataset", "checkpoint"))

    @dg.asset(
        key=[project.name, model.name, "tuning"], deps=[dg.AssetKey(dataset)], group_name="training",
        kinds={"optuna", "pytorch"}, owners=[project.owner], pool=model.compute.pool,
        # In a run that is for something else, and before the first tuning, there is nothing to stand for.
        output_required=False,
        description=f"The best values of {model.name}'s network that a study of trainings has found, one after the "
        f"other by their validation loss. It works only when it is asked for without the checkpoint: mlops tune "
        f"{model.name}, or by itself here.",
    )  # fmt: skip
    def tuned(
        context: dg.AssetExecutionContext, stations: Stations, compute: ComputeResource, config: Asked
    ) -> Iterator[dg.MaterializeResult]:
        station = "/".join(context.asset_key.path)
        if not is_asked(context, unless=dg.AssetKey(checkpoint)):
            yield from _left(context, stations, model, station)
            return
        source = stations.input("/".join(dataset))
        resolved = compute.resolve(model.compute)
        numeric = project.numeric_columns(model)
        wanted = config.trials or tuning.trials
        recipe_config = {
            "network": model.network.with_values({}).recipe(), "numeric": list(numeric), **model.task.recipe(),
            "categories": list(model.categories), "tuning": tuning.recipe(),
        }  # fmt: skip
        told: dict[str, Any] = {"code": (*_WORK, model.network.module), "inputs": {"dataset": source.manifest.digest},
                                "software": resolved.software}  # fmt: skip
        # The study goes on when more trials are asked for: their number is no part of what it is.
        study, _ = recipe_of(station, config=recipe_config, **told)
        told["config"] = {**recipe_config, "trials": wanted}

        def work(output: Path) -> Made:
            begun = time.monotonic()
            name = f"{project.name}.{model.name}.tuning"
            job = job_of(model, model.network.with_values({}), numeric, source, output, resolved)
            programs = Programs(
                job=job, folder=stations.home.studies / name, say=context.log.info,
                run=lambda path: compute.run(context, resolved, path, stations.home.leases),
                slot=partial(further_slot, context, model.compute.pool),
            )  # fmt: skip
            with exclusive(stations.home, name):
                trials = _studied(stations, tuning, programs, f"{name}.{short(study.key)}", wanted, config, begun)
            return _made(output, trials, tuning.declared(model.network))

        yield stations.make(context, kind=ROLE, redo=_unfinished(stations, station, told, wanted), work=work,
                            show=_show, track=_track, **told)  # fmt: skip

    return tuned


def _left(
    context: dg.AssetExecutionContext, stations: Stations, model: Model, station: str
) -> Iterator[dg.MaterializeResult]:
    """What a run that is not for the station gets: the tuning that stands, which the declaration may need."""
    refs = Refs(stations.home)
    found = pointed_to(refs, station, LATEST) if model.network.tuned == LATEST else refs.find(station)
    if found is None:
        stations.skip(context, f"no one has asked for it: mlops tune {model.name}")
    else:
        yield standing(found.manifest)


def _unfinished(stations: Stations, station: str, told: Mapping[str, Any], wanted: int) -> str | bool:
    """Why an artifact of this very recipe does not do: a timeout had ended its study early."""
    recipe, _ = recipe_of(station, **told)
    found = stations.store.find(recipe.key)
    done = found.manifest.content["trials"] if found is not None else wanted
    return f"its study had ended after {done} of {wanted} trials" if done < wanted else False


def _studied(stations: Stations, tuning: Tuning, programs: Programs, name: str, wanted: int, asked: Asked,
             begun: float) -> tuple[Trial, ...]:  # fmt: skip
    """The trials of a study, done as far as they were not."""
    network = programs.job.network
    most = tuning.space["epochs"].ends if "epochs" in tuning.space else (network.epochs,)
    before = Refs(stations.home).find(programs.folder.name.replace(".", "/"))
    declared, best = tuning.declared(network), dict[str, Any]()
    if before is not None:
        told = json.loads(before.file(BEST).read_bytes())["parameters"]
        best = {name: value for name, value in told.items() if name in tuning.space and tuning.space[name].holds(value)}
    until = begun + asked.timeout_seconds if asked.timeout_seconds else None
    with exclusive(stations.home, "studies"):
        study = Study(stations.home.studies / "studies.db", name, tuning, trials=wanted, until=until,
                      epochs=max(int(epochs) for epochs in most),
                      first=[values for values in (declared, best) if values])  # fmt: skip
    with study:
        done = len(study.trials())
        programs.say(f"study {name}: {done} of {wanted} trials are done" if done else f"study {name}: {wanted} trials")
        run_study(study, programs, parallel=asked.parallel or tuning.parallel)
        return study.trials()


def _made(output: Path, trials: tuple[Trial, ...], declared: Mapping[str, Any]) -> Made:
    for name, told in ((BEST, best_json(trials)), (TRIALS, trials_json(trials))):
        (output / name).write_bytes(canonical_json(told))
    return Made(content=facts(trials, declared))


def _track(artifact: Artifact) -> Tracked:
    trials, content = read_trials(artifact.file(TRIALS).read_bytes()), artifact.manifest.content
    nested = {
        f"trial {trial.number + 1}": Tracked(
            params=trial.parameters, curves={"epoch_validation_loss": trial.losses}, tags={"mlops.state": trial.state},
            metrics={"validation_loss": min(trial.losses)} if trial.losses else {},
        )
        for trial in trials
    }  # fmt: skip
    return Tracked(
        params=content["parameters"], tags={"mlops.dataset": artifact.manifest.recipe.inputs["dataset"]}, nested=nested,
        metrics={"validation_loss": content["validation_loss"], "best_trial": content["trial"] + 1,
                 "trials": content["trials"], "pruned": content["pruned"]},
    )  # fmt: skip


def _show(artifact: Artifact) -> dict[str, Any]:
    trials, content = read_trials(artifact.file(TRIALS).read_bytes()), artifact.manifest.content
    return {
        "validation_loss": content["validation_loss"],
        "best": dg.MetadataValue.json(dict(content["parameters"])),
        "declare": dg.MetadataValue.text(f'Network(..., tuned="{artifact.manifest.digest}")'),
        "trials": content["trials"],
        "pruned": content["pruned"],
        "study": dg.MetadataValue.md(picture(trials)),
        "trials_table": dg.MetadataValue.md(table(trials)),
    }
