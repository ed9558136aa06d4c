"""What each of several processes does in the tests: the jobs whose files are named, one after the other.

``torchrun ... -m mlops_platform_tests.training.together JOB[@STEP] [JOB[@STEP] ...]``; at a step, if one is named, the
process is asked to stop, saves, and goes on with the next job.
"""

import contextlib
import gc
import sys
from pathlib import Path
from typing import Any

import pytest

from mlops_platform.training.job import Job
from mlops_platform.training.program.fit import train
from mlops_platform.training.program.saver import Saver
from mlops_platform.training.program.stop import STOP, StoppedError


def do(job: Job, stop_at: int = 0) -> list[str]:
    """Trains; at a step, if one is named, it is asked to stop, and does. Returns what was said."""
    said: list[str] = []
    usual = Saver.on_train_batch_end

    def asked(self: Saver, trainer: Any, *rest: Any) -> None:
        STOP.asked = STOP.asked or trainer.global_step == stop_at
        usual(self, trainer, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Saver, "on_train_batch_end", asked)
        with pytest.raises(StoppedError) if stop_at else contextlib.nullcontext():
            train(job, lambda epoch: None, said.append)
    # The lock on the folder of saves goes with the trainer.
    gc.collect()
    return said


def main() -> None:
    for asked in sys.argv[1:]:
        path, _, step = asked.partition("@")
        do(Job.read(Path(path)), int(step or 0))


if __name__ == "__main__":
    main()
