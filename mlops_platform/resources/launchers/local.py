"""The launcher that starts one process on this machine."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_platform.resources.launchers import Launch
from mlops_platform.resources.launchers.outcome import require_finished
from mlops_platform.resources.messages import WholeLines

LEASH = "MLOPS_PARENT_FD"
_GRACE_SECONDS = 20.0


class LocalLauncher:
    """A subprocess of this process, which ends with it.

    Dagster's ``PipesSubprocessClient`` passes no descriptors on, and leaves the program running when the wait ends by
    anything but a cancelled run, or when this process is killed; so the session is Dagster's and the process is ours.
    """

    near = True

    def launch(self, context: dg.AssetExecutionContext, launch: Launch) -> tuple[Mapping[str, Any], ...]:
        """See ``Launcher``."""
        with dg.open_pipes_session(
            context=context, context_injector=dg.PipesTempFileContextInjector(),
            message_reader=WholeLines(), extras={"job": str(launch.job)},
        ) as session, _leash() as leash:  # fmt: skip
            env = {**os.environ, "PYTHONPATH": _path(), **launch.env, **session.get_bootstrap_env_vars()}
            process = subprocess.Popen(
                [sys.executable, "-m", launch.program],
                env={**env, LEASH: str(leash)}, pass_fds=(*launch.hold, leash),
            )  # fmt: skip
            with ended(process):
                code = process.wait()
        messages = tuple(session.get_custom_messages())
        require_finished(code, messages)
        return messages


def _path() -> str:
    """What this process can import, the program can; Dagster takes a loaded file's folder off the path again."""
    return os.pathsep.join([*(entry or os.getcwd() for entry in sys.path), str(Path(__file__).parents[3])])


@contextlib.contextmanager
def _leash() -> Iterator[int]:
    """A pipe's read end, at which the program sees this process die: the kernel then closes the write end."""
    read, write = os.pipe()
    try:
        yield read
    finally:
        os.close(read)
        os.close(write)


@contextlib.contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Leaves no program behind: asks it to stop, and kills it if it does not in time."""
    try:
        yield
    except BaseException:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
