"""Two trainings whose rows are mapped: one that loads all that a training loads, then one under a limit on memory.

``python -m mlops_platform_tests.training.bounded SMALL_JOB LARGE_JOB MEBIBYTES``: the kernel enforces it (RLIMIT_DATA),
upon what the process has taken by then.
"""

import resource
import sys
from pathlib import Path

from mlops_platform.training.job import Job
from mlops_platform.training.program import inputs
from mlops_platform.training.program.fit import train


def main() -> None:
    small, large, mebibytes = sys.argv[1:]
    free = inputs.available
    inputs.available = lambda: 0
    train(Job.read(Path(small)), lambda epoch: None)
    inputs.available = free
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    taken = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData"))
    limit = taken * 1024 + int(mebibytes) * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    train(Job.read(Path(large)), lambda epoch: None)


if __name__ == "__main__":
    main()
