"""How the training program is started: on this machine here, elsewhere by whoever registers a launcher."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import dagster as dg

from mlops_platform.errors import KilledError, TrainingError
from mlops_platform.resources.messages import WholeLines

PROGRAM = "mlops_platform.training.program"
LEASH = "MLOPS_PARENT_FD"
_GRACE_SECONDS = 20.0


class Launcher(Protocol):
    """Runs the training program to its end, wherever that is."""

    def launch(
        self, context: dg.AssetExecutionContext, job: Path, env: Mapping[str, str], hold: tuple[int, ...] = ()
    ) -> tuple[Mapping[str, Any], ...]:
        """Runs one job.

        Args:
            context: Of the asset; receives the program's log lines.
            job: The job's file; the program finds its path among the Pipes extras under ``job``.
            env: Variables to add to the program's environment.
            hold: Descriptors of device leases on this machine, which the program keeps open as long as it lives.

        Returns:
            The program's messages, in order; the last one's ``event`` is ``finished``.

        Raises:
            TrainingError: The program refused the job, failed, or was killed.
        """
        ...


class LocalLauncher:
    """A subprocess of this process, which ends with it.

    Dagster's ``PipesSubprocessClient`` passes no descriptors on, and leaves the program running when the wait ends by
    anything but a cancelled run, or when this process is killed; so the session is Dagster's and the process is ours.
    """

    def launch(
        self, context: dg.AssetExecutionContext, job: Path, env: Mapping[str, str], hold: tuple[int, ...] = ()
    ) -> tuple[Mapping[str, Any], ...]:
        """See ``Launcher``."""
        with dg.open_pipes_session(
            context=context, context_injector=dg.PipesTempFileContextInjector(),
            message_reader=WholeLines(), extras={"job": str(job)},
        ) as session, _leash() as leash:  # fmt: skip
            process = subprocess.Popen(
                [sys.executable, "-m", PROGRAM],
                env={**os.environ, "PYTHONPATH": _path(), **env, **session.get_bootstrap_env_vars(), LEASH: str(leash)},
                pass_fds=(*hold, leash),
            )
            with _ended(process):
                code = process.wait()
        messages = tuple(session.get_custom_messages())
        _require_finished(code, messages)
        return messages


LAUNCHERS: dict[str, Launcher] = {"local": LocalLauncher()}


def launcher(name: str) -> Launcher:
    """The launcher registered under a name.

    Raises:
        TrainingError: There is none.
    """
    if name not in LAUNCHERS:
        raise TrainingError(
            required=f"a launcher named {name}", found=f"only {', '.join(sorted(LAUNCHERS))}",
            remedy="declare one of those, or register yours in mlops_platform.resources.launchers.LAUNCHERS",
        )  # fmt: skip
    return LAUNCHERS[name]


def _path() -> str:
    """What this process can import, the program can; Dagster takes a loaded file's folder off the path again."""
    return os.pathsep.join([*(entry or os.getcwd() for entry in sys.path), str(Path(__file__).parents[2])])


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
def _ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
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


def _require_finished(code: int, messages: tuple[Mapping[str, Any], ...]) -> None:
    last = messages[-1] if messages else {}
    if last.get("event") == "failed":
        raise TrainingError(required=last["required"], found=last["found"], remedy=last["remedy"])
    if code != 0 or last.get("event") != "finished":
        how = f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        killed = code == -signal.SIGKILL
        remedy = "free memory or raise its limit, then run it again" if killed else "read its output above"
        error = KilledError if code < 0 else TrainingError
        raise error(required="the training program to finish", found=how, remedy=remedy)
