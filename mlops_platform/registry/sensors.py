"""The champion sensor: what a person moved is followed by what depends on it."""

from collections.abc import Mapping

import dagster as dg

from mlops_platform.manifest import short
from mlops_platform.resources.automation import PROJECT, UNFINISHED, Launch
from mlops_platform.resources.history import DECISIONS, PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.spec import Model, Project

_EVERY_SECONDS = 10
_FOLLOWING = ("champion", "predictions", "monitoring", "retrain_decision")


def champion_sensor(project: Project, jobs: Mapping[str, Launch]) -> dg.SensorDefinition:
    """Asks for the champion's station, predictions and monitoring where they are of another version than the live one.

    A rollback or a promotion by a person writes history and alias, and materializes nothing.

    Args:
        project: The declaration.
        jobs: By model, a job that holds its champion and what follows.
    """

    @dg.sensor(
        name=f"{project.name}_champion",
        jobs=[launch.job for launch in jobs.values()],
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Follows a champion that a person moved: its station, predictions and monitoring.",
    )
    def champion(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        home, requests = Home.from_environment(), []
        for model in project.models:
            live = behind(home, project, model)
            if live is None or _at_work(context.instance, project, model):
                continue
            names = [name for name in _FOLLOWING if name != "retrain_decision" or model.retraining is not None]
            tags = {PROJECT: project.name, "mlops/because": f"version {live[0]} is live now"}
            only = [[project.name, model.name, name] for name in names]
            requests.append(jobs[model.name].request(f"live:{project.name}/{model.name}:{live[1]}", tags, only))
        return dg.SensorResult(run_requests=requests, skip_reason=None if requests else "what is live is followed")

    return champion


def behind(home: Home, project: Project, model: Model) -> tuple[str, str] | None:
    """The live version and the digest of the entry that made it so, where predictions are by another; None where not.

    Only decisions count: a rehearsal is over in a moment, and an alias moved by hand is put back.
    """
    history = PromotionHistory(home, project.name, model.name)
    decided = [(digest, move) for digest, move in history.entries() if move.action in DECISIONS]
    if not decided or decided[-1][1].champion is None:
        return None
    digest, move = decided[-1]
    recipe = Refs(home).recipe(f"{project.name}/{model.name}/predictions")
    followed = recipe is not None and recipe.inputs.get("checkpoint") == move.checkpoint
    return None if followed else (str(move.champion), short(digest))


def _at_work(instance: dg.DagsterInstance, project: Project, model: Model) -> bool:
    """Whether a run is at work that will answer with the live version by itself."""
    predictions = dg.AssetKey([project.name, model.name, "predictions"])
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=UNFINISHED))
    return any(run.tags.get(PROJECT) == project.name or predictions in (run.asset_selection or ()) for run in runs)
