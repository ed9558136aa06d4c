"""A process that imports the training program once and forks a trainer for each job, so that many can be killed.

Run as a program it reads JSON lines ``[function, [argument, ...], log]``, and answers each with the id of the process
that does it, and then with its exit code (minus the signal's number where one ended it).
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Trainers:
    """The forking process, as tests talk to it.

    Attributes:
        process: It.
    """

    process: "subprocess.Popen[str]"

    def start(self, function: str, *arguments: str, log: Path) -> int:
        """Starts ``function(*arguments)`` of ``trainers.py`` in a process of its own; returns its id."""
        assert self.process.stdin is not None
        print(json.dumps([function, arguments, str(log)]), file=self.process.stdin, flush=True)
        return self._answer()

    def ended(self) -> int:
        """Waits for the end of the process started last; returns its exit code."""
        return self._answer()

    def run(self, function: str, *arguments: str, log: Path) -> str:
        """Does it to its end, which must be good; returns what it printed."""
        self.start(function, *arguments, log=log)
        code = self.ended()
        assert code == 0, log.read_text()
        return log.read_text()

    def _answer(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


@contextlib.contextmanager
def trainers() -> Iterator[Trainers]:
    """Such a process, which is gone afterwards."""
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops_platform_tests.training.forked"], env=environment, cwd=_ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Trainers(process)
    finally:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        process.wait()
        process.stdout.close()


def _serve() -> None:
    from mlops_platform_tests.training import trainers as work

    for line in sys.stdin:
        function, arguments, log = json.loads(line)
        child = os.fork()
        if child == 0:
            handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            code = getattr(work, function)(*arguments)
            sys.stdout.flush()
            os._exit(code or 0)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    _serve()
