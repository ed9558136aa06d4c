"""What a process cost: wall time, CPU time and peak memory, as the kernel counted them."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

QUIET = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""OpenMP threads that spin while they wait burn a core that others share, and blur every figure taken beside them."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one finished process and the children it waited for.

    Attributes:
        code: Exit code.
        seconds: Wall time.
        cpu: User and system seconds.
        peak_mib: Largest resident set of the largest of them.
        output: What it printed, where that was captured.
    """

    code: int
    seconds: float
    cpu: float
    peak_mib: float
    output: str = ""


def run(command: Sequence[str], *, cwd: Path, stdout: int | None = subprocess.PIPE,
        env: Mapping[str, str] | None = None) -> Cost:  # fmt: skip
    """Runs a command to its end.

    Args:
        command: Program and arguments.
        cwd: Where.
        stdout: ``subprocess.PIPE`` to capture what it prints, None to let it through.
        env: Variables to add to this process's.
    """
    begun = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, stdout=stdout, text=True, env={**os.environ, **QUIET, **(env or {})})
    output = process.stdout.read() if process.stdout else ""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(code=process.returncode, seconds=time.perf_counter() - begun, cpu=used.ru_utime + used.ru_stime,
                peak_mib=used.ru_maxrss / 1024, output=output)  # fmt: skip
