"""The input path: batches sliced out of contiguous tensors, in an order that a seed and an epoch decide.

Five times as fast as torch's DataLoader on rows this narrow (docs: DESIGN, "Input path"), and resumable in the middle
of an epoch by the two methods that Lightning asks of a loader.
"""

import math
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import torch

from mlops_platform.errors import TrainingError

Batch = tuple[torch.Tensor, ...]
_READERS = 16
"""Threads that wait for a disk at once; each row that is not in memory is a wait of its own."""
_STACK_BYTES = 1 << 19


class ShuffledBatches:
    """Every row once an epoch, in batches whose sizes differ by at most one (no tail of a single row).

    Several processes share each batch, every one with a part of it that no other has; the order of the rows, and the
    place in it, is that of one process.
    """

    def __init__(
        self, tensors: Batch, *, batch_size: int, seed: int, rank: int = 0, world: int = 1, ahead: bool = False
    ) -> None:
        """Takes the rows.

        Args:
            tensors: Each [N, ...], contiguous, of equal N; the same ones in each process.
            batch_size: Largest batch, over all processes.
            seed: Of the orders.
            rank: Which of the processes this is, from 0.
            world: How many there are.
            ahead: Whether the next batch is read while the last one is at work: pays where reading waits for a disk.

        Raises:
            TrainingError: A batch has fewer rows than there are processes.
        """
        self._tensors = tensors
        self._rows = len(tensors[0])
        self._batches = -(-self._rows // batch_size)
        self._seed = seed
        self._rank, self._world = rank, world
        self._ahead = ahead
        self._epoch = 0
        self._delivered = 0
        if self._rows // self._batches < world:
            raise TrainingError(
                required=f"batches of at least {world} rows, one for each process",
                found=f"{self._rows} rows in {self._batches} batches", remedy="raise Network.batch_size",
            )  # fmt: skip

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[Batch]:
        """The batches of the current epoch that were not delivered yet; with the last one the next epoch begins."""
        order = self._order()
        left = range(self._delivered, self._batches)
        chosen = (order[slice(*self._part(batch))] for batch in left)
        for batch, tensors in zip(left, self._gathered(chosen), strict=True):
            # Counted before it is handed out: a state taken while the batch is at work says that it was delivered;
            # and Lightning counts the batches of a sized loader, so that nothing after the last one would be reached.
            last = batch + 1 == self._batches
            self._epoch, self._delivered = (self._epoch + 1, 0) if last else (self._epoch, batch + 1)
            yield tensors

    def weight(self, batch: int) -> float:
        """What the mean over this process's part counts for, so that the mean over processes is that over all rows."""
        (begin, end), (mine, mine_end) = self._whole(batch), self._part(batch)
        return (mine_end - mine) * self._world / (end - begin)

    def state_dict(self) -> dict[str, Any]:
        """Where it stands: seed, rows and batches identify the orders; epoch and delivered the place."""
        return {
            "seed": self._seed, "rows": self._rows, "batches": self._batches,
            "epoch": self._epoch, "delivered": self._delivered,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues where a state was taken, by however many processes.

        Raises:
            ValueError: The state is of other rows, batches or another seed.
        """
        mine = self.state_dict()
        other = {name: state[name] for name in ("seed", "rows", "batches") if state[name] != mine[name]}
        if other:
            raise ValueError(f"required: a state of {mine}, found: {other}; resume with the same dataset and recipe")
        self._epoch, self._delivered = state["epoch"], state["delivered"]

    def _order(self) -> torch.Tensor:
        generator = torch.Generator().manual_seed((self._seed * 1_000_003 + self._epoch) % 2**63)
        return torch.randperm(self._rows, generator=generator)

    def _whole(self, batch: int) -> tuple[int, int]:
        """Begin and end of a batch in the order."""
        return batch * self._rows // self._batches, (batch + 1) * self._rows // self._batches

    def _part(self, batch: int) -> tuple[int, int]:
        """Begin and end of this process's part of a batch."""
        begin, end = self._whole(batch)
        mine, others = (_share(end - begin, self._rank + place, self._world) for place in (0, 1))
        return begin + mine, begin + others

    def _gathered(self, chosen: Iterable[torch.Tensor]) -> Iterator[Batch]:
        """The rows of each choice; ``ahead``, those of the next one are read meanwhile."""
        if not self._ahead:
            yield from (self._rows_of(rows) for rows in chosen)
            return
        with _readers() as readers:
            reading: list[Future[Batch]] = []
            for rows in chosen:
                following = [readers.submit(self._rows_of, part) for part in rows.tensor_split(_READERS)]
                if reading:
                    yield _together(reading)
                reading = following
            if reading:
                yield _together(reading)

    def _rows_of(self, chosen: torch.Tensor) -> Batch:
        return tuple(tensor.index_select(0, chosen) for tensor in self._tensors)


class OrderedBatches:
    """Every row once, in stored order: slices without a copy."""

    def __init__(self, tensors: Batch, *, batch_size: int, rank: int = 0, world: int = 1) -> None:
        """Takes the rows.

        Args:
            tensors: Each [N, ...], contiguous, of equal N; the same ones in each process.
            batch_size: Largest batch of one process.
            rank: Which of the processes this is, from 0; it gets a contiguous part of the rows.
            world: How many there are; each gets equally many batches.

        Raises:
            TrainingError: There are fewer rows than processes.
        """
        rows = len(tensors[0])
        if rows < world:
            raise TrainingError(
                required=f"at least {world} validation rows, one for each process", found=f"{rows} rows",
                remedy="validate on more rows, or train with fewer processes",
            )  # fmt: skip
        begin, end = _share(rows, rank, world), _share(rows, rank + 1, world)
        self._tensors = tuple(tensor[begin:end] for tensor in tensors)
        self._batches = math.ceil(math.ceil(rows / world) / batch_size)
        # Among several, one may have a row less than would fill as many batches: then they are made even.
        bounds = [_share(end - begin, batch, self._batches) for batch in range(self._batches + 1)]
        self._bounds = bounds if world > 1 else [*range(0, rows, batch_size), rows]

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[Batch]:
        for begin, end in pairwise(self._bounds):
            yield tuple(tensor[begin:end] for tensor in self._tensors)


def _readers() -> ThreadPoolExecutor:
    """Threads with small stacks: the usual ones would take 8 MiB each where memory is bounded by RLIMIT_DATA."""
    readers = ThreadPoolExecutor(max_workers=_READERS, thread_name_prefix="ahead")
    usual = threading.stack_size(_STACK_BYTES)
    try:
        all_there = threading.Barrier(_READERS)
        for started in [readers.submit(all_there.wait) for _ in range(_READERS)]:
            started.result()
    finally:
        threading.stack_size(usual)
    return readers


def _together(parts: "list[Future[Batch]]") -> Batch:
    return tuple(torch.cat(tensors) for tensors in zip(*(part.result() for part in parts), strict=True))


def _share(rows: int, rank: int, world: int) -> int:
    """Where the part of a rank begins among so many rows."""
    return rank * rows // world
