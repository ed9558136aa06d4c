"""The retraining sensor: asks the policy whenever a model's standing has changed, and acts on yes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg

from mlops_platform.manifest import short
from mlops_platform.resources.automation import PROJECT, TABLES, TRAINS, Job
from mlops_platform.resources.home import Home
from mlops_platform.resources.memo import recipe_of
from mlops_platform.resources.refs import Refs
from mlops_platform.retraining.assets import CODE
from mlops_platform.retraining.standing import STATION, recipe_parts, standing
from mlops_platform.spec import Model, Project

_EVERY_SECONDS = 5
_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING,
]  # fmt: skip


def retraining_sensor(
    project: Project, decides: Job, trains: Mapping[str, Job], clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> dg.SensorDefinition:
    """Keeps each model's retrain decision up to date, also where only time has passed, and trains where it says yes.

    A decision is acted on once. While a run is at work that trains the model or makes its dataset, nothing is asked:
    what comes of it may change the answer. A run that has made the decision, and goes on with other things, is past it.

    Args:
        project: The declaration.
        decides: A job that holds the decisions.
        trains: By model, the job that trains it, judges it, and promotes it if it is better.
        clock: UTC.
    """
    models = [model for model in project.models if model.retraining is not None]

    @dg.sensor(
        name=f"{project.name}_retraining",
        jobs=[decides, *(trains[model.name] for model in models)],
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks each model's retraining policy when its standing has changed, and trains on yes.",
    )
    def retraining(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        home, requests, said = Home.from_environment(), [], []
        at_work = list(_at_work(context.instance))
        for model in models:
            decided = _decided_by(home, project, model)
            busy = next((run for run in at_work if run.run_id != decided and _concerns(run, project, model)), None)
            if busy is not None:
                said.append(f"{model.name}: run {busy.run_id[:8]} is at work")
                continue
            wanted = _wanted(home, project, model, clock())
            if wanted.key is None:
                said.append(f"{model.name}: {wanted.because}")
            elif _was_made(context.instance, wanted.key):
                said.append(f"{model.name}: {wanted.key} was asked for, and its run did not end well")
            else:
                job = trains[model.name] if wanted.selection is None else decides
                requests.append(dg.RunRequest(run_key=wanted.key, job_name=job.name, tags=wanted.tags,
                                              asset_selection=wanted.selection))  # fmt: skip
        return dg.SensorResult(run_requests=requests, skip_reason=None if requests else "; ".join(said))

    return retraining


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """A run that a model needs.

    Attributes:
        because: Why, or why it needs none.
        key: Of the request; None where no run is needed.
        tags: Of the run.
        selection: The decision where it has to be asked for; None for the whole training job.
    """

    because: str
    key: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    selection: list[dg.AssetKey] | None = None


def _wanted(home: Home, project: Project, model: Model, now: datetime) -> _Wanted:
    found, refs = standing(home, project, model, now), Refs(home)
    if found is None:
        return _Wanted(because="there is no dataset yet")
    station = f"{project.name}/{model.name}/{STATION}"
    recipe, _ = recipe_of(station, code=CODE, **recipe_parts(model, found))
    decision, story = refs.find(station), refs.story(station)
    # When it was asked last is part of the keys: a standing that comes back is decided, and acted on, again.
    at, tags = story.last.at if story else "", {PROJECT: project.name}
    if decision is None or story is None or story.last.recipe != recipe.key:
        return _Wanted(because="its standing has changed", key=f"decide:{station}:{short(recipe.key)}:{at}",
                       tags={**tags, "mlops/because": "the model's standing has changed"},
                       selection=[dg.AssetKey([project.name, model.name, STATION])])  # fmt: skip
    reason = str(decision.manifest.content["reason"])
    if not decision.manifest.content["retrain"]:
        return _Wanted(because=reason)
    digest = short(decision.manifest.digest)
    tags |= {TRAINS: f"{project.name}/{model.name}", "mlops/because": reason, "mlops/decision": digest}
    return _Wanted(because=reason, key=f"retrain:{station}:{digest}:{at}", tags=tags)


def _decided_by(home: Home, project: Project, model: Model) -> str | None:
    """Id of the run that asked for the decision last."""
    story = Refs(home).story(f"{project.name}/{model.name}/{STATION}")
    return story.last.run_id if story else None


def _at_work(instance: dg.DagsterInstance) -> Iterator[dg.DagsterRun]:
    yield from instance.get_runs(filters=dg.RunsFilter(statuses=_UNFINISHED))


def _concerns(run: dg.DagsterRun, project: Project, model: Model) -> bool:
    """Whether a run trains the model, or makes what its decision is about."""
    watched = {dg.AssetKey([project.name, model.name, name]) for name in ("dataset", "checkpoint", STATION)}
    if run.asset_selection is not None:
        return bool(watched & set(run.asset_selection))
    return TABLES in run.tags or run.tags.get(TRAINS) == f"{project.name}/{model.name}"


def _was_made(instance: dg.DagsterInstance, key: str) -> bool:
    """Whether there was a run of that key."""
    filters = dg.RunsFilter(tags={"dagster/run_key": key})
    return bool(instance.get_runs(filters=filters, limit=1))
