"""The rollout sensor: has each open rollout judged in time."""

from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg

from mlops_platform.monitoring.rollout.wanted import STATIONS, wanted
from mlops_platform.resources.automation import PROJECT, Launch, at_work
from mlops_platform.resources.home import Home
from mlops_platform.spec import Project

_EVERY_SECONDS = 10


def rollout_sensor(
    project: Project, judges: Launch, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> dg.SensorDefinition:
    """Asks for the judge and what follows it when a rollout began, when labels landed, and when its verdict grows old.

    Args:
        project: The declaration.
        judges: A job that holds the stations of every rollout.
        clock: UTC.
    """

    @dg.sensor(
        name=f"{project.name}_rollouts",
        jobs=[judges.job],
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Has each open rollout judged when labels landed and before its newest verdict grows old.",
    )
    def rollouts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        home, requests = Home.from_environment(), []
        busy = {key for run in at_work(context.instance) for key in run.asset_selection or ()}
        for model in project.models:
            keys = [[project.name, model.name, station] for station in STATIONS]
            if model.serving.rollout is None or dg.AssetKey(keys[0]) in busy:
                continue
            asked = wanted(home, project, model, model.serving.rollout, clock())
            if asked is not None:
                tags = {PROJECT: project.name, "mlops/because": f"{model.name}: {asked.because}"}
                requests.append(judges.request(asked.key, tags, keys))
        return dg.SensorResult(run_requests=requests, skip_reason=None if requests else "every rollout is judged")

    return rollouts
