"""``mlops dev``: Dagster's UI and daemon, MLflow's UI and live answers, as child programs of one life."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

import mlops_platform
from mlops_platform.cli.context import EXIT_FAILED, console
from mlops_platform.cli.doctor import is_free
from mlops_platform.errors import PlatformError
from mlops_platform.resources.home import Home

HOST = "127.0.0.1"
_WORKSPACE = Path(mlops_platform.__file__).parents[1] / "workspace.yaml"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE, _POLL, _LAST_LINES, _TRIES = 15.0, 0.3, 15, 50


@dataclass(frozen=True)
class Server:
    """A child program.

    Attributes:
        name: For people.
        port: Where it listens.
        command: What to run.
        log: Where its output goes.
    """

    name: str
    port: int
    command: tuple[str, ...]
    log: Path

    @property
    def address(self) -> str:
        """Its address on this machine."""
        return f"http://{HOST}:{self.port}"


def serve(home: Home, port: int, mlflow_port: int, answers_port: int | None) -> int:
    """Runs both UIs, and live answers, until a signal comes or one of them ends.

    Args:
        home: Of all of them.
        port, mlflow_port, answers_port: Where each listens, or the next free one; no live answers for None.

    Returns:
        0 after a signal; 1 where a program ended by itself.
    """
    shown = console()
    home.prepare()
    home.mlflow.mkdir(parents=True, exist_ok=True)
    dagster_port = free_port(port, shown, "Dagster")
    mlflow_port = free_port(mlflow_port, shown, "MLflow", taken=(dagster_port,))
    os.environ["MLOPS_MLFLOW_UI"] = f"http://{HOST}:{mlflow_port}"
    os.environ["MLOPS_DAGSTER_UI"] = f"http://{HOST}:{dagster_port}"
    programs = servers(home, dagster_port, mlflow_port)
    if answers_port is not None:
        found = free_port(answers_port, shown, "Answers", taken=(dagster_port, mlflow_port))
        programs.append(answers(home, found))
    return run(programs, shown)


def answers(home: Home, port: int) -> Server:
    """Live answers by one worker; it stands unready until there is a champion, which it then takes by itself."""
    command = ("-m", "mlops_platform.cli", "serve", "--host", HOST, "--port", str(port), "--workers", "1")
    return Server("Answers", port, (sys.executable, *command), home.root / "logs" / "answers.log")


def servers(home: Home, port: int, mlflow_port: int) -> list[Server]:
    """The two UIs, both on the loopback interface only: neither has authentication."""
    where = ("-w", str(_WORKSPACE)) if _WORKSPACE.is_file() else ("-m", "mlops_platform.definitions")
    dagster = ("-m", "dagster", "dev", *where, "--host", HOST, "--port", str(port))
    mlflow = ("-m", "mlflow", "ui", "--backend-store-uri", f"sqlite:///{home.mlflow / 'mlflow.db'}",
              "--host", HOST, "--port", str(mlflow_port), "--workers", "1")  # fmt: skip
    logs = home.root / "logs"
    return [Server("Dagster", port, (sys.executable, *dagster), logs / "dagster.log"),
            Server("MLflow", mlflow_port, (sys.executable, *mlflow), logs / "mlflow.log")]  # fmt: skip


def free_port(wanted: int, shown: Console, name: str, *, taken: Sequence[int] = ()) -> int:
    """The port wanted, or the next free one, which is told.

    Raises:
        PlatformError: None of the next ones is free.
    """
    for port in range(wanted, min(wanted + _TRIES, 65536)):
        if port not in taken and is_free(port):
            if port != wanted:
                shown.print(f"[yellow]Port {wanted} is taken: {name} gets {port}.[/]")
            return port
    raise PlatformError(required=f"a free port for {name}", found=f"{wanted} and those after it are taken",
                        remedy="mlops dev --port PORT --mlflow-port PORT --answers-port PORT")  # fmt: skip


def run(programs: list[Server], shown: Console, environment: Mapping[str, str] | None = None) -> int:
    """Starts programs, each in its own process group, and ends all when a signal comes or one dies."""
    signals: list[int] = []
    with _signals(signals.append):
        running = [(program, _start(program, environment)) for program in programs]
        try:
            dead = _watch(running, signals, shown)
        finally:
            _end([process for _, process in running], at_once=lambda: len(signals) > 1)
    if dead is None:
        shown.print(f"\nEnded by {signal.Signals(signals[0]).name}.")
        return 0
    program, process = dead
    ended = f"[bold red]{program.name} ended with exit code {process.returncode}[/]"
    shown.print(f"{ended}; its last lines, of {program.log}:", soft_wrap=True)
    for line in program.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]:
        shown.print(f"  {line}", markup=False, soft_wrap=True)
    return EXIT_FAILED


@contextmanager
def _signals(hear: Callable[[int], None]) -> Iterator[None]:
    before = {number: signal.signal(number, lambda number, _: hear(number)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(program: Server, environment: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    program.log.parent.mkdir(parents=True, exist_ok=True)
    with program.log.open("wb") as log:
        return subprocess.Popen(program.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                start_new_session=True, env=environment)  # fmt: skip


def _watch(running: list[tuple[Server, subprocess.Popen[bytes]]], signals: list[int],
           shown: Console) -> tuple[Server, subprocess.Popen[bytes]] | None:  # fmt: skip
    """Waits; tells each address once it answers. The program that died, or None after a signal."""
    names = ", ".join(program.name for program, _ in running)
    shown.print(f"Starting {names} (their first start takes a while) ...", style="dim")
    silent = [program for program, _ in running]
    while not signals:
        for program, process in running:
            if process.poll() is not None:
                return program, process
        for program in [each for each in silent if _answers(each.port)]:
            silent.remove(program)
            shown.print(f"[bold]{program.name:<8}[/] {program.address}   log {program.log}", soft_wrap=True)
            if not silent:
                shown.print("Ctrl-C ends all; a second one at once.")
        time.sleep(_POLL)
    return None


def _answers(port: int) -> bool:
    with socket.socket() as caller:
        caller.settimeout(_POLL)
        return caller.connect_ex((HOST, port)) == 0


def _end(processes: list[subprocess.Popen[bytes]], at_once: Callable[[], bool]) -> None:
    """Asks whole process groups to end, then makes them: a webserver's children must not outlive it."""
    for process in processes:
        _signal_group(process, signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE
    while any([_group_lives(each) for each in processes]) and time.monotonic() < deadline and not at_once():
        time.sleep(_POLL)
    for process in processes:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _group_lives(process: subprocess.Popen[bytes]) -> bool:
    process.poll()
    return _signal_group(process, 0)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> bool:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True
