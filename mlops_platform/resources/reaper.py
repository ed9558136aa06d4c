"""Ends Dagster runs whose process is gone, and asks again for what nobody would ask for.

A run killed with SIGKILL stays STARTED, and Dagster's local launcher has no health check. Each run here is tagged with
its process. When a run begins, and every half minute in the daemon, those of dead processes on this machine are ended
and their pool slots freed; device leases and locks need nothing, since the kernel lets go of them. A sensor then ends
their MLflow runs, and asks again for runs that a sensor had asked for: a person sees that a run of theirs died.
"""

import contextlib
import os
import socket
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from mlops_platform.resources.automation import PROJECT, Job
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import PARENT, MlflowDoor, MlflowResource
from mlops_platform.spec import Project

DIED, AGAIN, ATTEMPT = "mlops/died", "mlops/asked_again", "mlops/attempt"
# The prefix keeps the tag out of the runs page.
_PROCESS = ".dagster/mlops_process"
_CHOSEN = "__ASSET_JOB"
_FAILURE_REASON = "dagster/failure_reason"
_OPEN = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]
_REASON = "Its process is gone: it was killed, or the machine went down."
_EVERY_SECONDS = 30
_MOST_ATTEMPTS = 4
# A run tags itself as soon as it has loaded the code location; one that has not by then died before it could.
_TIME_TO_TAG = timedelta(minutes=2)


def reap(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """Tags a run with this process and ends the runs of dead ones.

    Args:
        instance: Dagster's.
        run_id: The run that begins now.

    Returns:
        Ids of the runs that were ended.
    """
    if instance.get_run_by_id(run_id) is None:
        return []
    instance.add_run_tags(run_id, {_PROCESS: _identity(os.getpid())})
    return end_the_dead(instance, but=run_id)


def end_the_dead(instance: dg.DagsterInstance, *, but: str = "", now: datetime | None = None) -> list[str]:
    """Ends the runs of dead processes and frees their pool slots.

    Args:
        instance: Dagster's.
        but: A run that lives.
        now: UTC; by which a run had time to tag itself.

    Returns:
        Ids of the runs that were ended.
    """
    ended = []
    now = now or datetime.now(UTC)
    for record in instance.get_run_records(filters=dg.RunsFilter(statuses=_OPEN)):
        run = record.dagster_run
        if run.run_id == but or not _is_dead(run, record.update_timestamp, now):
            continue
        # Tagged first: whoever dies between the two leaves a run that is still open, and is found again.
        instance.add_run_tags(run.run_id, {DIED: "true"})
        instance.report_run_failed(run, _REASON)
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        ended.append(run.run_id)
    return ended


def reaper_sensor(project: Project, jobs: Sequence[Job], mlflow: MlflowResource) -> dg.SensorDefinition:
    """Ends dead runs while the daemon lives, and asks again, a few times, for those that a sensor had asked for.

    Args:
        project: The declaration.
        jobs: Those whose runs are asked for again, the one that holds every asset first.
        mlflow: Where runs are tracked.
    """

    @dg.sensor(
        name=f"{project.name}_reaper",
        jobs=list(jobs),
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ends runs whose process is gone, and asks again for what a sensor had asked for.",
    )
    def reaper(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        instance, home = context.instance, Home.from_environment()
        end_the_dead(instance)
        _mark_those_dagster_ended(instance, project)
        asked: list[dg.RunRequest] = []
        # Runs of the automation sensor, and of assets chosen by hand, belong to a job that no sensor can name.
        known = {_CHOSEN: jobs[0].name, **{job.name: job.name for job in jobs}}
        filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags={DIED: "true"})
        for run in instance.get_runs(filters=filters, limit=50):
            if AGAIN in run.tags or run.tags.get(PROJECT, project.name) != project.name:
                continue
            fail_in_mlflow(mlflow.door(home, project.name), run)
            asked += _again(instance, run, known)
        return dg.SensorResult(run_requests=asked, skip_reason=None if asked else "no run has died")

    return reaper


def _mark_those_dagster_ended(instance: dg.DagsterInstance, project: Project) -> None:
    """Dagster's code server ends a run whose process it saw die, and says no reason where a failed run says its own."""
    filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags={PROJECT: project.name})
    for run in instance.get_runs(filters=filters, limit=50):
        if DIED not in run.tags and run.tags.get(_FAILURE_REASON, "START_TIMEOUT") == "START_TIMEOUT":
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            instance.add_run_tags(run.run_id, {DIED: "true"})


def fail_in_mlflow(door: MlflowDoor, run: dg.DagsterRun) -> None:
    """Ends the MLflow runs of a Dagster run as failed, if it has any; MLflow is imported only then."""
    if not _is_tracked(door, run.run_id):
        return
    door.fail(run.run_id, run.job_name, _REASON)
    parent = door.parent_run(run.run_id, run.job_name)
    open_children = f"tags.`{PARENT}` = '{parent}' and attributes.status = 'RUNNING'"
    for child in door.client.search_runs([door.experiment], open_children):
        door.client.set_terminated(child.info.run_id, "FAILED")


def _is_tracked(door: MlflowDoor, run_id: str) -> bool:
    """Whether MLflow knows a Dagster run, told without importing it where its store is the home's SQLite."""
    if door.uri:
        return bool(door.client.search_runs([door.experiment], f"tags.dagster_run_id = '{run_id}'"))
    if not door.exists:
        return False
    with contextlib.closing(sqlite3.connect(door.home.mlflow / "mlflow.db", timeout=20)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'tags'").fetchone():
            return False
        query = "SELECT 1 FROM tags WHERE key = 'dagster_run_id' AND value = ?"
        return database.execute(query, (run_id,)).fetchone() is not None


def _again(instance: dg.DagsterInstance, run: dg.DagsterRun, known: Mapping[str, str]) -> list[dg.RunRequest]:
    """The request for a dead run's work, unless a person had asked, it was made already, or it was made too often."""
    key, attempt = f"again:{run.run_id}", int(run.tags.get(ATTEMPT, "1"))
    found = instance.get_runs(filters=dg.RunsFilter(tags={"dagster/run_key": key}), limit=1)
    automatic = "dagster/sensor_name" in run.tags and run.job_name in known
    if found or not automatic or attempt >= _MOST_ATTEMPTS:
        # Noted only once the new run is there: a daemon that dies before that asks with the same key.
        instance.add_run_tags(run.run_id, {AGAIN: found[0].run_id if found else "no"})
        return []
    kept = {name: value for name, value in run.tags.items() if name.startswith("mlops/") and name != DIED}
    selection = sorted(run.asset_selection) if run.asset_selection else None
    return [dg.RunRequest(run_key=key, job_name=known[run.job_name], run_config=run.run_config,
                          asset_selection=selection, tags={**kept, ATTEMPT: str(attempt + 1)})]  # fmt: skip


def _identity(pid: int) -> str:
    """Host, process id and start time, since process ids are used again."""
    return f"{socket.gethostname()}/{pid}/{_started(pid)}"


def _is_dead(run: dg.DagsterRun, updated: datetime, now: datetime) -> bool:
    identity = run.tags.get(_PROCESS)
    if identity is None:
        return PROJECT in run.tags and now - updated.astimezone(UTC) > _TIME_TO_TAG
    host, pid, started = identity.split("/")
    return host == socket.gethostname() and _started(int(pid)) != started


def _started(pid: int) -> str:
    try:
        # Field 22 of /proc/PID/stat; the command, field 2, may hold spaces and ends with the last parenthesis.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "gone" if Path("/proc/self").exists() else "unknown"
    # A process that was killed and not yet waited for does nothing any more.
    return "gone" if fields[0] == "Z" else fields[19]
