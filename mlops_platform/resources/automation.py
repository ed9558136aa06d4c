"""What moves by itself, and what may move at the same time: one condition, one sensor, and the tags of runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from mlops_platform.spec import Project

PROJECT = "mlops/project"
"""Tag of each run of a project."""
TABLES = "mlops/tables"
"""Tag of runs that write tables; ``dagster.yaml`` lets one of them run at a time."""
TRAINS = "mlops/trains"
"""Tag of a model's training runs; ``dagster.yaml`` lets one run at a time for each model."""
LAST = {"dagster/priority": "-1"}
"""Op tags of a station that nothing else in its run waits for."""
Job = Any
"""What ``dg.define_asset_job`` gives; Dagster exports no name for it."""
_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING,
]  # fmt: skip
_EVERY_SECONDS = 5


@dataclass(frozen=True)
class Launch:
    """A job as sensors launch it.

    Attributes:
        job: The job.
        keys: Every station in it. Each request names them: Dagster's conditions see what a run is for by its selection
            alone, and would ask again for what the run makes.
    """

    job: Job
    keys: Sequence[dg.AssetKey]

    def request(self, key: str, tags: Mapping[str, str], only: Sequence[Sequence[str]] | None = None) -> dg.RunRequest:
        """A request for all of it, or for some stations.

        Args:
            key: By which it is made once.
            tags: Of the run.
            only: Asset keys; None for all.
        """
        chosen = list(self.keys) if only is None else [dg.AssetKey(list(path)) for path in only]
        return dg.RunRequest(run_key=key, job_name=self.job.name, asset_selection=chosen, tags=dict(tags))


def at_work(instance: dg.DagsterInstance) -> Sequence[dg.DagsterRun]:
    """Runs that wait or are at work."""
    return instance.get_runs(filters=dg.RunsFilter(statuses=_UNFINISHED))


def follows_data(*but: dg.AssetKey) -> dg.AutomationCondition:
    """A station follows its inputs as soon as their content has changed and nothing red blocks them.

    It is Dagster's ``eager()`` with two differences: an input that was made again and came out equal moves nothing, and
    an input whose blocking check failed holds everything behind it back. An input that will be asked for in the same
    tick counts as changed, so a whole chain is one run, in which the memo cuts off what comes out equal.

    Args:
        but: Inputs whose change moves nothing, such as the dataset for a verdict on a checkpoint.
    """
    changed = dg.AutomationCondition.eager().replace("newly_updated", dg.AutomationCondition.data_version_changed())
    condition = changed & dg.AutomationCondition.all_deps_blocking_checks_passed()
    return (condition.ignore(dg.AssetSelection.assets(*but)) if but else condition).with_label("follows_data")


DAILY = "17 4 * * *"
"""When what is done once a day is asked for, UTC: at an hour and a minute that other schedules seldom have."""


def daily() -> dg.AutomationCondition:
    """A station is asked for once a day, whatever has changed and when; a day on which nothing listened is made up for.

    Nothing is asked for while the station is at work, nor while an input is missing that was never made.
    """
    passed = dg.AutomationCondition.cron_tick_passed(DAILY).since(
        dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated()
    )
    condition = passed & ~dg.AutomationCondition.any_deps_missing() & ~dg.AutomationCondition.in_progress()
    return condition.with_label("daily")


def automation_sensor(project: Project) -> dg.AutomationConditionSensorDefinition:
    """Runs what follows data, whoever changed them: a person in the UI, a rebuild, a checkpoint trained by hand."""
    return dg.AutomationConditionSensorDefinition(
        name=f"{project.name}_automation",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=_EVERY_SECONDS,
        run_tags={PROJECT: project.name, TABLES: project.name},
        description="Brings stations up to date whose inputs have changed, as their conditions say.",
    )
