"""The two services, each as a process with its workers: started, waited for, counted and ended."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.costs import QUIET
from benchmarks.homes import ROOT
from mlops_platform.resources.home import Home

_LONGEST_START = 120.0
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service that is ready.

    Attributes:
        port: On the loopback interface.
        process: The parent of its workers.
        start_seconds: From the start of the process to its first "ready".
        start_cpu: CPU seconds that it had taken by then.
    """

    port: int
    process: "subprocess.Popen[bytes]"
    start_seconds: float
    start_cpu: float

    def cpu(self) -> float:
        """CPU seconds of the process and all that come from it, so far."""
        return tree_cpu(self.process.pid)

    def get(self, path: str) -> str:
        """The text of a page."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def phases(self) -> dict[str, float]:
        """Sum of seconds of each phase and of whole requests (``request``), over all workers, from our own metrics."""
        text = self.get("/metrics")
        told = re.findall(r'mlops_phase_seconds_sum\{[^}]*phase="(\w+)"[^}]*\} (\S+)', text)
        whole = re.findall(r"mlops_request_seconds_sum\{[^}]*predict[^}]*\} (\S+)", text)
        return {**{name: float(value) for name, value in told}, "request": sum(map(float, whole))}


@contextlib.contextmanager
def ours(home: Home, model: str, workers: int) -> Iterator[Service]:
    """``mlops serve``, as anyone starts it."""
    port = free_port()
    command = [sys.executable, "-m", "mlops_platform.cli", "--home", str(home.path), "serve", model,
               "--port", str(port), "--workers", str(workers), "--quiet"]  # fmt: skip
    with _started(command, port, "/readyz", {}) as service:
        yield service


@contextlib.contextmanager
def peer(home: Home, name: str, version: str, workers: int) -> Iterator[Service]:
    """``mlflow models serve`` of a registered version: FastAPI on uvicorn, with uvloop and httptools as found."""
    port, store = free_port(), f"sqlite:///{home.mlflow / 'mlflow.db'}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{name}/{version}",
               "--port", str(port), "--env-manager", "local", "--workers", str(workers)]  # fmt: skip
    # It calls uvicorn by its name.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    told = {"MLFLOW_TRACKING_URI": store, "OMP_NUM_THREADS": "1", "PATH": path}
    with _started(command, port, "/ping", told) as service:
        yield service


@contextlib.contextmanager
def _started(command: list[str], port: int, ready: str, environment: Mapping[str, str]) -> Iterator[Service]:
    begun = time.perf_counter()
    # Its own session, so that all that comes from it can be ended with it.
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **QUIET, **environment}, start_new_session=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # fmt: skip
    assert process.stderr is not None
    try:
        while not _answers(port, ready):
            if process.poll() is not None or time.perf_counter() - begun > _LONGEST_START:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise SystemExit(f"not ready: {' '.join(command)}\n{process.stderr.read().decode()[-2000:]}")
            time.sleep(0.01)
        os.set_blocking(process.stderr.fileno(), False)
        yield Service(port=port, process=process, start_seconds=time.perf_counter() - begun,
                      start_cpu=tree_cpu(process.pid))  # fmt: skip
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()


def _answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def tree_cpu(root: int) -> float:
    """User and system seconds of a process and its descendants, the ended ones that were waited for included."""
    stats: dict[int, tuple[int, float]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = path.read_text().rpartition(")")[2].split()
            stats[int(path.parent.name)] = (int(fields[1]), sum(map(int, fields[11:15])) / _TICK)
    total, waiting = 0.0, [root]
    while waiting:
        pid = waiting.pop()
        total += stats.get(pid, (0, 0.0))[1]
        waiting += [child for child, (parent, _) in stats.items() if parent == pid]
    return total
