"""Ends Dagster runs whose process is gone, so that they do not hold a pool's slot for ever.

A run killed with SIGKILL stays STARTED, and Dagster's local launcher has no health check. Each run here is tagged with
its process; when a run begins, those of dead processes on this machine are ended and their slots freed.
"""

import os
import socket
from pathlib import Path

import dagster as dg

# The prefix keeps the tag out of the runs page.
_PROCESS = ".dagster/mlops_process"
_OPEN = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]


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
    ended = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=_OPEN)):
        if run.run_id != run_id and _is_dead(run.tags.get(_PROCESS)):
            instance.report_run_failed(run, "Its process is gone: it was killed, or the machine went down.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            ended.append(run.run_id)
    return ended


def _identity(pid: int) -> str:
    """Host, process id and start time, since process ids are used again."""
    return f"{socket.gethostname()}/{pid}/{_started(pid)}"


def _is_dead(identity: str | None) -> bool:
    if identity is None:
        return False
    host, pid, started = identity.split("/")
    return host == socket.gethostname() and _started(int(pid)) != started


def _started(pid: int) -> str:
    try:
        # Field 22 of /proc/PID/stat; the command, field 2, may hold spaces and ends with the last parenthesis.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except FileNotFoundError:
        return "gone" if Path("/proc/self").exists() else "unknown"
