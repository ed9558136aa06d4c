"""Launches on a cluster as the checkpoint's station does, and looks at what ran.

``cluster_launching.py FOLDER SETTINGS`` launches what waits, on Ray.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import psutil

from mlops_platform.resources.launchers import Launch, Launcher
from mlops_platform.resources.launchers.ray import RayLauncher
from mlops_platform.resources.launchers.settings import RaySettings

ROOT = Path(__file__).parents[2]
RANKS = "mlops_platform_tests.resources.ranks"


def launched(
    launcher: Launcher, folder: Path, job: Mapping[str, Any], instance: dg.DagsterInstance | None = None, **asked: Any
) -> tuple[Mapping[str, Any], ...]:
    """Launches from an asset of its own.

    Returns:
        The program's messages.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, found = folder / "job.json", []
    path.write_text(json.dumps(job))

    @dg.asset(key=["shop", "sells", "checkpoint"])
    def training(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        launch = Launch(job=path, **{"program": RANKS, "env": {"OMP_NUM_THREADS": "1"}, "grace_seconds": 5, **asked})
        found.extend(launcher.launch(context, launch))
        return dg.MaterializeResult()

    dg.materialize([training], instance=instance)
    return tuple(found)


def told(folder: Path, rank: int) -> dict[str, Any]:
    """What a process said of itself."""
    found: dict[str, Any] = json.loads((folder / f"{rank}.json").read_bytes())
    return found


def gone(folder: Path) -> bool:
    """Whether no process that said something runs any more."""
    return not any(_runs(told(folder, int(path.stem))["pid"]) for path in folder.glob("[0-9].json"))


def until(holds: Callable[[], bool], seconds: float = 40.0) -> bool:
    """Waits until something holds; whether it did in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def cancel_when_heard(folder: Path, instance: dg.DagsterInstance) -> threading.Thread:
    """Interrupts this process as soon as a line of rank 0 has come back to Dagster, while it runs."""

    def heard() -> bool:
        runs = instance.get_runs()
        return any("rank 0 logs" in entry.user_message for run in runs for entry in instance.all_logs(run.run_id))

    def cancel() -> None:
        until(heard)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=cancel, daemon=True)
    thread.start()
    return thread


if __name__ == "__main__":
    launched(RayLauncher(RaySettings(**json.loads(sys.argv[2]))), Path(sys.argv[1]), {"wait": 0})
