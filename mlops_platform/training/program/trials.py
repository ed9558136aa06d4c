"""Trials: trainings for their validation loss alone, one after the other in one process, as a study asks for them.

Each is the very training that a checkpoint would be, up to the report of its last epoch, where it is ended: nothing is
exported. The same seed gives the same losses, whatever was tried before in this process.
"""

import gc
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import torch

from mlops_platform.errors import TrainingError
from mlops_platform.training.job import Job
from mlops_platform.training.program.fit import train
from mlops_platform.training.program.pulse import PULSE
from mlops_platform.training.program.stop import STOP
from mlops_platform.training.record import Epoch
from mlops_platform.training.tuning.dialogue import Dialogue


class Ended(Exception):
    """A trial is over: after its last epoch, or where the study does not want the rest of it.

    Attributes:
        state: ``complete`` or ``pruned``.
    """

    def __init__(self, state: str) -> None:
        self.state = state
        super().__init__(state)


def run_trials(folder: Path, *, leads: bool, say: Callable[[str], None]) -> int:
    """Does trials until the study asks for no more.

    Args:
        folder: Of the dialogue.
        leads: Whether this process tells the study; the others of a group only follow its answers.
        say: Hears of each trial's end.

    Returns:
        How many it did.

    Raises:
        TrainingError: The study told the program to stop.
    """
    # Whoever is asked to make room is started again, and the trial with it.
    STOP.resumable = True
    talk = Dialogue(folder)
    for place in count():
        PULSE.phase("the order of a trial")
        order = talk.hear(f"order-{place}")
        if "job" not in order:
            return place
        PULSE.phase(f"the start of trial {order['number']}")
        result = _result(talk, place, Job.read(Path(order["job"])), leads=leads, say=say)
        if leads:
            talk.say(f"result-{place}", result)
            say(f"trial {order['number']}: {result['state']}")
        # What one trial leaves on a device is no other's burden.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    raise AssertionError("count() ends never")


def _result(talk: Dialogue, place: int, job: Job, *, leads: bool, say: Callable[[str], None]) -> dict[str, Any]:
    def report(epoch: Epoch) -> None:
        if leads:
            talk.say(f"epoch-{place}-{epoch.epoch}", {"validation_loss": epoch.validation_loss})
        answer = talk.hear(f"answer-{place}-{epoch.epoch}")
        if epoch.epoch + 1 == job.network.epochs:
            raise Ended("complete")
        if answer["prune"]:
            raise Ended("pruned")

    try:
        # Lightning hands on what its hooks raise, after it has taken its trainer down.
        train(job, report, say)
    except Ended as ended:
        return {"state": ended.state}
    except TrainingError as error:
        if talk.stopped:
            raise
        # The values are to blame, and the study learns from that: a loss that is no number, too large a batch.
        return {"state": "refused", "why": f"it requires {error.required}, found {error.found}"}
    raise AssertionError("a training reports its last epoch")
