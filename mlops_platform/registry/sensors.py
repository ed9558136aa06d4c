"""The champion sensor: what a person moved is followed by what depends on it."""

from collections.abc import Mapping

import dagster as dg

from mlops_platform.resources.automation import PROJECT, Launch, at_work
from mlops_platform.resources.history import KEEP, Move, PromotionHistory
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
        description="Follows a champion that a person or a rollout moved: its station, predictions and monitoring.",
    )
    def champion(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        home, requests = Home.from_environment(), []
        for model in project.models:
            live = behind(home, project, model)
            if live is None or _answered_soon(context.instance, project, model):
                continue
            kept = f"version {live.version} was kept out since, and " if live.action == KEEP else ""
            because = f"{kept}version {live.champion} is live now"
            launch, tags = jobs[model.name], {PROJECT: project.name, "mlops/because": because}
            only = [key.path for key in launch.keys if key.path[-1] in _FOLLOWING]
            requests.append(launch.request(f"live:{project.name}/{model.name}:{live.at}", tags, only))
        return dg.SensorResult(run_requests=requests, skip_reason=None if requests else "what is live is followed")

    return champion


def behind(home: Home, project: Project, model: Model) -> Move | None:
    """The newest decision, where predictions are by another version than is live by it, or where it ended a rollout
    that the champion's station still tells of; None where not.

    Only decisions count: a rehearsal is over in a moment, and an alias moved by hand is put back.
    """
    history, refs = PromotionHistory(home, project.name, model.name), Refs(home)
    move = history.newest_decision()
    if move is None or move.champion is None:
        return None
    recipe, told = (refs.recipe(f"{project.name}/{model.name}/{station}") for station in ("predictions", "champion"))
    followed = recipe is not None and recipe.inputs.get("checkpoint") == move.checkpoint
    late = (
        told is not None
        and move.action == KEEP
        and told.inputs["history"] != history.head_before(told.inputs["verdict"])
    )
    return move if late or not followed else None


def _answered_soon(instance: dg.DagsterInstance, project: Project, model: Model) -> bool:
    """Whether a run is at work that will answer with the live version by itself."""
    predictions = dg.AssetKey([project.name, model.name, "predictions"])
    return any(
        run.tags.get(PROJECT) == project.name or predictions in (run.asset_selection or ()) for run in at_work(instance)
    )
