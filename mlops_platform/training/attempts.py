"""What the attempts at one training leave in its folder of saves: how far each came, and where its time went.

A training that is killed goes on as another attempt. Each writes one small note while it lives, so that what died with
it is still counted: all attempts together are what a model cost.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from mlops_platform.errors import KilledError
from mlops_platform.resources.artifacts import write_whole
from mlops_platform.training.job import Job

PARTS = ("startup", "data", "step", "checkpoint", "evaluation", "export", "other")
WORK = ("data", "step", "evaluation")
LOST = "lost"
MOST_WITHOUT_PROGRESS = 3
_STEP = "step-"
_NOTES = "attempts"


_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One process group's go at a training, as its note says.

    Attributes:
        number: From 1.
        devices: How many it held.
        seconds: Wall time since its process began, by part (``PARTS``).
        step: Optimizer steps of the training that were done when the note was written.
        begun: Step that it went on from; 0 where it began afresh.
        resumed: Number of the attempt whose save it went on from; None where it began afresh.
        kept: Seconds of that attempt, by part, when that save was taken.
        usage: Figures of the processors and devices.
    """

    number: int
    devices: int
    seconds: Mapping[str, float]
    step: int = 0
    begun: int = 0
    resumed: int | None = None
    kept: Mapping[str, float] = field(default_factory=dict)
    usage: Mapping[str, float] = field(default_factory=dict)

    def write(self, saves: Path) -> None:
        """Puts the note into a folder of saves, whole or not at all."""
        write_whole(saves / _NOTES / f"{self.number:04d}.json", json.dumps(asdict(self)).encode(), replace=True)


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What all attempts at a training spent.

    Attributes:
        seconds: Wall time by part (``PARTS`` and ``LOST``), which sum to the wall time of all attempts.
        device_seconds: Wall time times the devices held.
        attempts: How many there were.
        lost_steps: Steps that were done and had to be done again.
    """

    seconds: Mapping[str, float]
    device_seconds: float
    attempts: int
    lost_steps: int

    @property
    def goodput(self) -> float:
        """Share of the wall time that went into steps that count."""
        whole = sum(self.seconds.values())
        return self.seconds["step"] / whole if whole else 0.0


def notes(saves: Path | None) -> tuple[Attempt, ...]:
    """The attempts that a folder of saves knows, in order."""
    if saves is None:
        return ()
    found = sorted((saves / _NOTES).glob("[!.]*.json"))
    return tuple(Attempt(**json.loads(path.read_text(encoding="utf-8"))) for path in found)


def save_name(step: int, epoch: int) -> str:
    """Name of the folder of a save: a step may be saved before its epoch's validation and after it."""
    return f"{_STEP}{step:09d}-epoch-{epoch:05d}"


def saved(saves: Path) -> tuple[str, ...]:
    """Names of the saves in a folder, the newest first."""
    return tuple(sorted((path.name for path in saves.glob(f"{_STEP}*")), reverse=True))


def reached(saves: Path | None) -> int:
    """Step of the newest save; 0 where there is none."""
    names = saved(saves) if saves is not None else ()
    return int(names[0].split("-")[1]) if names else 0


def spent(attempts: Sequence[Attempt]) -> Spent:
    """What attempts spent together: work that no later attempt went on from is lost.

    Args:
        attempts: All of them, in order; the last one is the one that finished.
    """
    sums = dict.fromkeys((*PARTS, LOST), 0.0)
    lost_steps, later = 0, None
    for attempt in reversed(attempts):
        counts = later is None or later.resumed == attempt.number
        kept = attempt.seconds if later is None else later.kept if counts else {}
        for part in PARTS:
            used = attempt.seconds.get(part, 0.0)
            lost = max(used - kept.get(part, 0.0), 0.0) if part in WORK else 0.0
            sums[part] += used - lost
            sums[LOST] += lost
        if later is not None:
            lost_steps += max(attempt.step - (later.begun if counts else attempt.begun), 0)
        if counts:
            later = attempt
    devices = sum(attempt.devices * sum(attempt.seconds.values()) for attempt in attempts)
    return Spent(seconds=sums, device_seconds=devices, attempts=len(attempts), lost_steps=lost_steps)


def until_finished(run: Callable[[], _T], job: Job, warn: Callable[[str], None]) -> _T:
    """Starts a training again each time that it is killed, as long as that brings it further.

    Args:
        run: Starts it and waits.
        job: Its job, whose output folder is emptied before it is started again.
        warn: Hears why, and from which step it goes on.

    Returns:
        What ``run`` returns.

    Raises:
        KilledError: So many in a row were killed before their first save.
    """
    without = 0
    while True:
        before = reached(job.saves)
        try:
            return run()
        except KilledError as killed:
            after = reached(job.saves)
            without = 0 if after > before else without + 1
            if without == MOST_WITHOUT_PROGRESS:
                raise
            warn(f"{killed.found}; the training goes on from step {after}")
            shutil.rmtree(job.output)
            job.output.mkdir()
