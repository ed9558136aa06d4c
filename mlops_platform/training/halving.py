"""A training whose batch does not fit into memory, done again in smaller pieces where the declaration asks for that."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from mlops_platform.errors import OutOfMemoryError
from mlops_platform.manifest import canonical_json
from mlops_platform.resources.artifacts import write_whole
from mlops_platform.training.job import Job

_PIECES = "pieces.json"
_Finished = TypeVar("_Finished")


def until_it_fits(job: Job, run: Callable[[Job], _Finished], say: Callable[[str], Any]) -> _Finished:
    """Runs a job, and again with twice as many pieces a batch for as long as memory runs out.

    Each time in a process of its own, whose memory is whole again. The number of pieces is kept beside the saves, which
    are of that number only: whoever does the job again goes on from them.

    Args:
        job: What to train.
        run: Does a job to its end.
        say: Hears of each halving.

    Raises:
        OutOfMemoryError: Halving was not declared, or even a single row does not fit.
    """
    job = _as_before(job, say)
    while True:
        try:
            return run(job)
        except OutOfMemoryError as error:
            if job.network.on_out_of_memory != "halve" or job.micro_batch == 1:
                raise
            job = replace(job, pieces=2 * job.pieces)
            if job.saves is not None:
                write_whole(job.saves / _PIECES, canonical_json(job.pieces), replace=True)
            say(
                f"{error.found}: each batch of {job.network.batch_size} goes in pieces of {job.micro_batch} from now on"
            )


def _as_before(job: Job, say: Callable[[str], Any]) -> Job:
    """The job in as many pieces as one that was broken off had come to."""
    kept = job.saves / _PIECES if job.saves is not None else None
    if kept is None or not kept.is_file():
        return job
    job = replace(job, pieces=json.loads(kept.read_bytes()))
    say(f"memory ran out before: each batch of {job.network.batch_size} goes in pieces of {job.micro_batch}")
    return job
