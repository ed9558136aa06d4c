"""What each of several processes does in the tests: the jobs whose files are named, one after the other.

``torchrun ... -m mlops_platform_tests.training.together JOB [JOB ...]``
"""

import sys
from pathlib import Path

from mlops_platform.training.job import Job
from mlops_platform.training.program.fit import train


def main() -> None:
    for path in sys.argv[1:]:
        train(Job.read(Path(path)), lambda epoch: None)


if __name__ == "__main__":
    main()
