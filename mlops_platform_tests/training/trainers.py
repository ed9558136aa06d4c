"""What the forked trainers do; only their process imports this file, and with it torch."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlops_platform.manifest import digest_bytes
from mlops_platform.training.attempts import saved
from mlops_platform.training.job import Job
from mlops_platform.training.program import fit, saver
from mlops_platform.training.program.__main__ import main
from mlops_platform.training.program.goodput import Ledger
from mlops_platform.training.program.inputs import read_splits
from mlops_platform.training.program.rank import Rank
from mlops_platform.training.program.sequences import read_sequences
from mlops_platform.training.program.stop import STOP


def program(job: str) -> int:
    """The training program, as a launcher starts it by hand."""
    sys.argv = ["program", "--job", job]
    return main()


def fitted(job: Job) -> str:
    """Digest of what a training learnt: the last weights, the best ones and the curves; nothing is exported."""
    fit._prepare(job)
    encoding, rows, validation = (read_sequences if job.network.sequence else read_splits)(job)
    scorer, _ = fit._begin(job, encoding, rows)
    ledger = Ledger(job)
    learner, _, saving = fit._fit(job, scorer, rows, validation, lambda epoch: None, Rank.here(), ledger, print)
    if saving is not None:
        saving.finish()
    ledger.close()
    last = fit._weights(learner.program)
    learner.program.load_state_dict(learner.best)
    return digest_bytes(last + fit._weights(learner.program) + json.dumps([str(e) for e in learner.curves]).encode())


def learn(job: str) -> None:
    """Prints the digest of what a job's training learns."""
    print(fitted(Job.read(Path(job))))


def save_at_every_place(job: str) -> None:
    """Trains, writing a save wherever one can be written."""
    saver.Saver._due = lambda self: self._writing.join() is None  # type: ignore[method-assign]
    print(fitted(Job.read(Path(job))))


def stop_in_validation(job: str) -> int:
    """The training program, asked to stop as its first validation is at work; no save is taken before."""
    saver.Saver._due = lambda self: False  # type: ignore[method-assign]
    before = saver.Saver.on_validation_batch_end

    def asked(self: saver.Saver, *given: Any) -> None:
        STOP.asked = True
        before(self, *given)

    saver.Saver.on_validation_batch_end = asked  # type: ignore[method-assign]
    return program(job)


def go_on_from_each(job: str) -> None:
    """Prints each save of a job's folder, and what a training that finds only that one learns."""
    saver.Saver._due = lambda self: False  # type: ignore[method-assign]
    whole = Job.read(Path(job))
    assert whole.saves is not None
    for name in saved(whole.saves):
        only = whole.saves.parent / "only"
        shutil.rmtree(only, ignore_errors=True)
        shutil.copytree(whole.saves / name, only / name)
        print(name, fitted(replace(whole, saves=only)), flush=True)
