"""A training whose batch does not fit into memory, done again in smaller pieces where the declaration asks for that."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from mlops_platform.errors import OutOfMemoryError
from mlops_platform.training.job import Job

_Finished = TypeVar("_Finished")


def until_it_fits(job: Job, run: Callable[[Job], _Finished], say: Callable[[str], Any]) -> _Finished:
    """Runs a job, and again with twice as many pieces a batch for as long as memory runs out.

    Each time in a process of its own, whose memory is whole again; it resumes from the saves where there are some.

    Args:
        job: What to train.
        run: Does a job to its end.
        say: Hears of each halving.

    Raises:
        OutOfMemoryError: Halving was not declared, or even a single row does not fit.
    """
    while True:
        try:
            return run(job)
        except OutOfMemoryError as error:
            if job.network.on_out_of_memory != "halve" or job.micro_batch == 1:
                raise
            job = replace(job, pieces=2 * job.pieces)
            say(
                f"{error.found}: each batch of {job.network.batch_size} goes in pieces of {job.micro_batch} from now on"
            )
