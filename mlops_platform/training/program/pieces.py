"""Batches that do not fit into memory: told as such, and learnt in pieces whose gradients add up to the whole one's."""

import contextlib
import itertools
import resource
from collections.abc import Iterator
from typing import Any

import torch
from torch.optim import Optimizer

from mlops_platform.errors import OutOfMemoryError
from mlops_platform.spec import Sequence
from mlops_platform.training.job import Job
from mlops_platform.training.program.learner import Learner
from mlops_platform.training.program.loader import Batch

VALIDATION_BATCH = 8192
_SAID = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED", "bad_alloc")
_MIB = 1 << 20


class InPieces(Learner):
    """Learns each batch in pieces, one after another in memory, and takes one step for all of them.

    The gradients are those of the whole batch, summed in another order. What a network computes from a batch while it
    trains, it computes from a piece: BatchNorm's statistics, and which units a dropout takes.

    Attributes:
        pieces: How many.
    """

    pieces = 1

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        """One step; see ``Learner``. Returns the last piece's share of the loss, whose gradients are still to come."""
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, Optimizer)
        optimizer.zero_grad()
        rows = len(batch[-1])
        bounds = [rows * piece // self.pieces for piece in range(self.pieces + 1)]
        spans = [(start, end) for start, end in itertools.pairwise(bounds) if end > start]
        for start, end in spans[:-1]:
            self.trainer.strategy.backward(self._share(batch, start, end, index), None)
        return self._share(batch, *spans[-1], index)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Leaves the gradients of the pieces before: Lightning would clear them ahead of the last one's."""

    def _share(self, batch: Batch, start: int, end: int, index: int) -> torch.Tensor:
        loss = super().training_step(tuple(tensor[start:end] for tensor in batch), index)
        return loss * ((end - start) / len(batch[-1]))


@contextlib.contextmanager
def fitting_memory(job: Job) -> Iterator[None]:
    """Tells what did not fit into memory.

    Raises:
        OutOfMemoryError: Memory ran out meanwhile; it names the batch and the peak.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        raise OutOfMemoryError(**_told(job, error)) from error


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out: torch has a class for it on CUDA, and none on the processor."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in _SAID)


def in_pieces(job: Job) -> dict[str, int]:
    """What the record of a training says of its pieces; nothing where there was one."""
    return {} if job.pieces == 1 else {"micro_batch": job.micro_batch, "halved": job.pieces.bit_length() - 1}


def peak_mib() -> float:
    """Most memory in use so far, in MiB: of the device where there is one, else of this process."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / _MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _told(job: Job, error: BaseException) -> dict[str, Any]:
    of = "the GPU" if torch.cuda.is_initialized() else "this process"
    first = str(error).strip().split("\n", 1)[0][:200] or type(error).__name__
    required, remedy = _of_sequences(job.network.sequence) if job.network.sequence else _of_rows(job)
    return {
        "required": f"memory for {required}",
        "found": f"memory ran out, with a peak of {peak_mib():,.0f} MiB in {of} ({first})",
        "remedy": f"{remedy}, or train where there is more memory",
    }


def _of_rows(job: Job) -> tuple[str, str]:
    pieces = f" in pieces of {job.micro_batch}" if job.pieces > 1 else ""
    halve = "" if job.network.on_out_of_memory == "halve" else ", or declare Network(on_out_of_memory='halve')"
    asked = (
        f"a batch of {job.network.batch_size} rows{pieces}, and for {VALIDATION_BATCH // job.pieces} validation rows"
    )
    return f"{asked} at once", f"lower Network.batch_size{halve}"


def _of_sequences(sequence: Sequence) -> tuple[str, str]:
    side = "all sequences" if sequence.parallel is None else f"{sequence.parallel} sequences"
    steps = "all their steps" if sequence.window is None else f"{sequence.window} steps"
    return f"{side} side by side, {steps} of them at once", "shorten Sequence.window or lower Sequence.parallel"
