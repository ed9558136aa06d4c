"""The training processes of one node of a cluster: started together, and ended together as soon as one fails.

A pod of Kubernetes runs this module; on Ray an actor on each node does the same (see ``ray_driver``). The folder is how
they and who waits for the training know of each other:

- ``rank-N.log`` has what a process prints,
- ``ended.json`` how each of them ended: rank, exit code, and what it said was wrong,
- ``alive`` changes as long as somebody waits.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from mlops_platform.training.program.leash import VARIABLE as LEASH

_PIPES = "DAGSTER_PIPES_"
_POLL_SECONDS = 0.05
_LOG_SECONDS = 5.0
_Process = subprocess.Popen[bytes]


class Ended(NamedTuple):
    """A process that is no more.

    Attributes:
        rank: Its number.
        code: Its exit code; minus the signal's number where one ended it.
        ours: Whether we killed it, since another one had failed.
    """

    rank: int
    code: int
    ours: bool = False


class Recall:
    """Whether a training is to stop: a signal says so, or nobody waits for it any more."""

    def __init__(self, folder: Path, orphan_seconds: float) -> None:
        """Listens from now on.

        Args:
            folder: Whose file ``alive`` is watched; that it changes is what counts, not by which clock.
            orphan_seconds: How long it may stay as it is.
        """
        self._alive, self._limit = folder / "alive", orphan_seconds
        self._seen, self._since = b"", time.monotonic()
        self._asked = threading.Event()
        signal.signal(signal.SIGTERM, lambda number, frame: self._asked.set())

    def over(self) -> bool:
        """Whether the processes have to stop now."""
        beat = self._alive.read_bytes() if self._alive.is_file() else b""
        if beat != self._seen:
            self._seen, self._since = beat, time.monotonic()
        return self._asked.is_set() or time.monotonic() - self._since > self._limit


class Group:
    """One process a device."""

    def __init__(self, grace_seconds: float) -> None:
        """Takes how long a process that was asked to stop may save before it is killed."""
        self._grace = grace_seconds
        self._stopping = threading.Event()

    def missing(self, paths: list[str]) -> list[str]:
        """Those of the paths that this node does not see."""
        return [path for path in paths if not Path(path).exists()]

    def free_port(self) -> int:
        """A port of this node at which the processes of all nodes can meet."""
        with socket.socket() as free:
            free.bind(("", 0))
            return int(free.getsockname()[1])

    def stop(self) -> None:
        """Asks the processes to stop, those that are started later too; ``run`` returns when they have."""
        self._stopping.set()

    def run(
        self, program: str, job: str, folder: str, ranks: list[int], world: int, meet: tuple[str, int],
        over: Callable[[], bool] = lambda: False,
    ) -> list[Ended]:  # fmt: skip
        """Runs this node's processes to their end.

        Args:
            program: Module that each runs.
            job: The job's file.
            folder: Receives what they print.
            ranks: Of this node's processes.
            world: Number of processes on all nodes.
            meet: Address of rank 0's node, and a port of it.
            over: Whether they are to stop.

        Returns:
            The processes, in the order in which they ended.
        """
        read, write = os.pipe()
        try:
            running = {}
            for rank in ranks:
                env = environment(os.environ, folder, ranks, rank, world, meet) | {LEASH: str(read)}
                running[rank] = subprocess.Popen(
                    [sys.executable, "-m", program, "--job", job], env=env, pass_fds=(read,), start_new_session=True,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                )  # fmt: skip
            return self._ended(running, Path(folder), over)
        finally:
            # The program ends itself when the write end closes, as it does when this process is gone.
            os.close(read)
            os.close(write)

    def _ended(self, running: dict[int, _Process], folder: Path, over: Callable[[], bool]) -> list[Ended]:
        logs = [_logged(process, folder / f"rank-{rank}.log") for rank, process in running.items()]
        ended: list[Ended] = []
        deadline: float | None = None
        while running:
            for rank in [rank for rank, process in running.items() if process.poll() is not None]:
                late = deadline is not None and time.monotonic() > deadline
                ended.append(Ended(rank, running.pop(rank).returncode, late))
                if ended[-1].code != 0:
                    self.stop()
            if deadline is None and (self._stopping.is_set() or over()):
                deadline = time.monotonic() + self._grace
                for process in running.values():
                    process.send_signal(signal.SIGTERM)
            elif deadline is not None and time.monotonic() > deadline:
                for process in running.values():
                    os.killpg(process.pid, signal.SIGKILL)
            time.sleep(_POLL_SECONDS)
        for log in logs:
            log.join(_LOG_SECONDS)
        return ended


def environment(
    given: Mapping[str, str], folder: str, ranks: list[int], rank: int, world: int, meet: tuple[str, int]
) -> dict[str, str]:
    """A process's variables: torchrun's own where there are several processes, and Dagster Pipes' for rank 0 alone."""
    env = {name: value for name, value in given.items() if rank == 0 or not name.startswith(_PIPES)}
    env["TORCHELASTIC_ERROR_FILE"] = str(_error(Path(folder), rank))
    if world == 1:
        return env
    return env | {
        "RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(ranks.index(rank)),
        "LOCAL_WORLD_SIZE": str(len(ranks)), "GROUP_RANK": str(rank // len(ranks)),
        "MASTER_ADDR": meet[0], "MASTER_PORT": str(meet[1]), "TORCHELASTIC_RUN_ID": f"mlops-{meet[1]}",
    }  # fmt: skip


def note(folder: Path, ended: list[Ended]) -> int:
    """Writes ``ended.json``, of those that did not end well, the cause first; 0 if all did."""
    # Who was killed from elsewhere is never a consequence: the others then lose their connection to it.
    bad = sorted((each for each in ended if each.code != 0), key=lambda each: each.ours or each.code != -signal.SIGKILL)
    told = [{"rank": each.rank, "code": each.code, "said": _said(folder, each.rank)} for each in bad]
    (folder / "ended.json").write_text(json.dumps(told), encoding="utf-8")
    return 1 if bad else 0


def _error(folder: Path, rank: int) -> Path:
    return folder / f"error-{rank}.json"


def _said(folder: Path, rank: int) -> dict[str, str]:
    """What a process wrote of its error before it went; see ``rank.Rank.fail``."""
    path = _error(folder, rank)
    message = json.loads(path.read_bytes())["message"] if path.is_file() else {}
    return dict(message.get("said", {}))


def _logged(process: _Process, path: Path) -> threading.Thread:
    """Keeps what a process prints, and passes it on to who looks at this node."""

    def copy() -> None:
        assert process.stdout is not None
        with path.open("ab") as log:
            for line in process.stdout:
                log.write(line)
                log.flush()
                sys.stdout.write(line.decode(errors="replace"))
                sys.stdout.flush()

    # Made by now, since it tells that the process has begun.
    path.touch()
    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    return thread


def main() -> int:
    """Runs the processes of a node that is all there is; 0 when all ended well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--job", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--program", required=True, help="module that each process runs")
    parser.add_argument("--devices", type=int, required=True, help="number of processes")
    parser.add_argument("--grace", type=float, required=True, help="seconds from the request to stop to the kill")
    parser.add_argument("--orphan", type=float, required=True, help="seconds without a sign of who waits")
    asked = parser.parse_args()
    recall, group = Recall(Path(asked.folder), asked.orphan), Group(asked.grace)
    meet = "127.0.0.1", group.free_port()
    ranks = list(range(asked.devices))
    ended = group.run(asked.program, asked.job, asked.folder, ranks, len(ranks), meet, recall.over)
    return note(Path(asked.folder), ended)


if __name__ == "__main__":
    sys.exit(main())
