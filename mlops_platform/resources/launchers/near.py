"""Processes of this machine: started, watched, and none of them left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_platform.resources.launchers import Launch
from mlops_platform.resources.launchers.leash import Leash, kill_group
from mlops_platform.resources.launchers.watch import Watch, Watched
from mlops_platform.resources.messages import WholeLines

_POLL_SECONDS = 0.05


def run(
    context: dg.AssetExecutionContext, launch: Launch, arguments: Sequence[str], env: Mapping[str, str]
) -> tuple[int, tuple[Mapping[str, Any], ...]]:
    """Runs a program of this Python to its end, with all the processes that it starts.

    Dagster's ``PipesSubprocessClient`` passes no descriptors on, and leaves the program running when the wait ends by
    anything but a cancelled run, or when this process is killed; so the session is Dagster's and the process is ours.

    Args:
        context: Of the asset; receives the program's log lines.
        launch: What is asked for.
        arguments: Of Python.
        env: Further variables.

    Returns:
        The exit code, minus the signal's number where one ended it, and the program's messages.

    Raises:
        KilledError: It did not report, or did not get on, and was ended.
    """
    watch = Watch(launch.silence_seconds, launch.stall_seconds)
    with dg.open_pipes_session(
        context=context, context_injector=dg.PipesTempFileContextInjector(),
        message_reader=Watched(WholeLines(), watch), extras={"job": str(launch.job)},
    ) as session, Leash(launch.hold) as leash:  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, *arguments], pass_fds=launch.hold, start_new_session=True,
            env={**os.environ, "PYTHONPATH": _path(), **launch.env, **session.get_bootstrap_env_vars(), **leash.env,
                 **env},
        )  # fmt: skip
        with ended(process, launch.grace_seconds):
            while process.poll() is None:
                watch.require_life()
                time.sleep(_POLL_SECONDS)
    return process.returncode, tuple(session.get_custom_messages())


@contextlib.contextmanager
def ended(process: "subprocess.Popen[bytes]", grace_seconds: float) -> Iterator[None]:
    """Leaves no program behind: asks it to stop, and kills it and its group if it does not in time.

    Args:
        process: Leader of a session of its own.
        grace_seconds: How long it may take to save and go.
    """
    try:
        yield
    except BaseException:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            kill_group(process.pid)
            process.wait()
        raise


def _path() -> str:
    """What this process can import, the program can; Dagster takes a loaded file's folder off the path again."""
    return os.pathsep.join([*(entry or os.getcwd() for entry in sys.path), str(Path(__file__).parents[3])])
