"""The retraining sensor: asks the policy whenever a model's standing has changed, and acts on yes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from mlops_platform.errors import PlatformError
from mlops_platform.resources.automation import TABLES, TRAINS, Launch, at_work
from mlops_platform.resources.home import Home
from mlops_platform.retraining.standing import STATION
from mlops_platform.retraining.wanted import STANDING, Wanted, wanted_run
from mlops_platform.spec import Model, Project

_EVERY_SECONDS = 5


def retraining_sensor(
    project: Project,
    decides: Launch,
    trains: Mapping[str, Launch],
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> dg.SensorDefinition:
    """Keeps each model's retrain decision up to date, also where only time has passed, and trains where it says yes.

    A decision is acted on once. While a run is at work that trains the model or makes its dataset, no decision is asked
    for: what comes of it may change the answer. A yes about the newest dataset there is waits for no further delivery.

    Args:
        project: The declaration.
        decides: A job that holds the decisions.
        trains: By model, the job that trains it, judges it, and promotes it if it is better.
        clock: UTC.
    """
    models = [model for model in project.models if model.retraining is not None]

    @dg.sensor(
        name=f"{project.name}_retraining",
        jobs=[decides.job, *(trains[model.name].job for model in models)],
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks each model's retraining policy when its standing has changed, and trains on yes.",
    )
    def retraining(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        home, requests, said, broken = Home.from_environment(), [], list[str](), list[PlatformError]()
        runs = at_work(context.instance)
        for model in models:
            try:
                wanted = wanted_run(home, project, model, clock())
                against = _against(context.instance, project, model, wanted, runs)
            except PlatformError as error:
                # One model's damage holds no other back; the tick is red once they are served.
                context.log.error(f"{model.name}: {error}")
                broken.append(error)
                continue
            if against is not None:
                said.append(f"{model.name}: {against}")
                continue
            launch = decides if wanted.selection else trains[model.name]
            requests.append(launch.request(str(wanted.key), wanted.tags, wanted.selection))
        if broken and not requests:
            raise broken[0]
        return dg.SensorResult(run_requests=requests, skip_reason=None if requests else "; ".join(said))

    return retraining


def _against(instance: dg.DagsterInstance, project: Project, model: Model, wanted: Wanted,
             runs: Sequence[dg.DagsterRun]) -> str | None:  # fmt: skip
    """Why nothing is asked for a model now; None where its run is."""
    for run in runs:
        # A run that has made the decision, and goes on with other things, is past it.
        if run.run_id != wanted.decided_by and _concerns(run, project, model, trains=wanted.trains):
            return f"run {run.run_id[:8]} is at work"
    if wanted.key is None:
        return wanted.because
    if _saw_another(instance, wanted):
        return "its runs load other code than this sensor does: reload the code location"
    if instance.get_runs(filters=dg.RunsFilter(tags={"dagster/run_key": wanted.key}), limit=1):
        return f"{wanted.key} was asked for, and its run did not end well"
    return None


def _concerns(run: dg.DagsterRun, project: Project, model: Model, *, trains: bool) -> bool:
    """Whether a run trains the model, or makes what is to be decided about."""
    watched = ("checkpoint",) if trains else ("dataset", "checkpoint", STATION)
    keys = {dg.AssetKey([project.name, model.name, name]) for name in watched}
    if run.asset_selection is not None:
        return bool(keys & set(run.asset_selection))
    if run.tags.get(TRAINS) == f"{project.name}/{model.name}":
        return True
    whole = run.tags.get(TABLES) == project.name
    return whole and not (trains and run.job_name == f"{project.name}_data")


def _saw_another(instance: dg.DagsterInstance, wanted: Wanted) -> bool:
    """Whether the run that decided last was asked for this very standing and saw another: asking again is no use."""
    asks = wanted.decided_by and STANDING in wanted.tags
    run = instance.get_run_by_id(wanted.decided_by) if asks else None
    return run is not None and run.tags.get(STANDING) == wanted.tags[STANDING]
