"""The rows of a dataset as sequences, and the windows in which a network of sequences goes through them.

Sequences of similar length go side by side, ``parallel`` of them as a group; a group is gone through window by window
from its first step, and where its shorter sequences have ended they are padded with steps that have no label. The order
of the groups is decided by a seed and an epoch alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch

from mlops_platform.errors import TrainingError
from mlops_platform.scoring.encoding import Encoding
from mlops_platform.scoring.steps import TIME, sequences
from mlops_platform.spec import Network
from mlops_platform.training.job import LABEL, Job
from mlops_platform.training.program.inputs import Rows
from mlops_platform.training.program.labels import read_labels

_VALIDATION_STEPS = 512


@dataclass(frozen=True, kw_only=True)
class SequenceRows(Rows):
    """The rows of one split and those that lead up to it, one sequence after the other.

    Attributes:
        label: float32 [N] or [N, H]; NaN where there is none, or where it is another split's.
        starts, lengths: First row and number of rows of each sequence, int64 [S].
    """

    starts: torch.Tensor
    lengths: torch.Tensor

    def __len__(self) -> int:
        """How many rows have a label to learn or to be compared with."""
        return int(known_rows(self.label, steps=1).sum())

    @property
    def tensors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Numbers, categories and labels of those rows."""
        known = known_rows(self.label, steps=1)
        return self.numeric[known], self.categories[known], self.label[known]

    @property
    def known_label(self) -> torch.Tensor:
        """Labels of those rows."""
        return self.label[known_rows(self.label, steps=1)]


def known_rows(label: torch.Tensor, *, steps: int) -> torch.Tensor:
    """Which rows have a label, bool of the first ``steps`` dimensions; one step that is known makes a forecast's."""
    known = ~torch.isnan(label)
    return known.any(dim=-1) if label.ndim > steps else known


class Window(NamedTuple):
    """T steps of S sequences side by side.

    Attributes:
        numeric: float32 [S, T, F].
        categories: int64 [S, T, C].
        label: float32 [S, T] or [S, T, H]; NaN where nothing is to be learnt.
        fresh: Whether these are the sequences' first steps.
        known: How many rows have a label.
    """

    numeric: torch.Tensor
    categories: torch.Tensor
    label: torch.Tensor
    fresh: bool
    known: int


class Windows:
    """Every step once an epoch, window by window; resumable between any two of them."""

    def __init__(self, rows: SequenceRows, *, window: int | None, parallel: int | None, seed: int | None) -> None:
        """Takes the rows.

        Args:
            rows: Of S sequences.
            window: Steps of a window; None: all.
            parallel: Sequences side by side; None: all.
            seed: Of the orders; None: always the longest group first.
        """
        self._rows = rows
        self._seed = seed
        by_length = torch.argsort(rows.lengths, descending=True, stable=True)
        self._groups = by_length.split(parallel or len(by_length))
        longest = [int(rows.lengths[group].max()) for group in self._groups]
        self._window = window or max(longest)
        self._longest = longest
        self._counts = [-(-steps // self._window) for steps in longest]
        self._epoch = 0
        self._delivered = 0

    def __len__(self) -> int:
        return sum(self._counts)

    def __iter__(self) -> Iterator[Window]:
        """The windows of the current epoch that were not delivered yet; with the last one the next epoch begins."""
        places = [(group, number) for group in self._order() for number in range(self._counts[group])]
        for place in range(self._delivered, len(places)):
            # Counted before it is handed out, as in ShuffledBatches.
            last = place + 1 == len(places)
            self._epoch, self._delivered = (self._epoch + 1, 0) if last else (self._epoch, place + 1)
            yield self._cut(*places[place])

    def state_dict(self) -> dict[str, Any]:
        """Where it stands: epoch and delivered are the place, all else identifies the windows and their order."""
        return {
            "seed": self._seed, "rows": len(self._rows.label), "sequences": len(self._rows.starts),
            "window": self._window, "windows": len(self), "epoch": self._epoch, "delivered": self._delivered,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues where a state was taken; the network's own state is the learner's to continue.

        Raises:
            ValueError: The state is of other windows or of another seed.
        """
        mine = self.state_dict()
        other = {name: state[name] for name in mine if name not in ("epoch", "delivered") and state[name] != mine[name]}
        if other:
            raise ValueError(f"required: a state of {mine}, found: {other}; resume with the same dataset and recipe")
        self._epoch, self._delivered = state["epoch"], state["delivered"]

    def _order(self) -> list[int]:
        if self._seed is None:
            return list(range(len(self._groups)))
        generator = torch.Generator().manual_seed((self._seed * 1_000_003 + self._epoch) % 2**63)
        return torch.randperm(len(self._groups), generator=generator).tolist()

    def _cut(self, group: int, number: int) -> Window:
        rows, chosen = self._rows, self._groups[group]
        steps = torch.arange(number * self._window, min((number + 1) * self._window, self._longest[group]))
        lengths = rows.lengths[chosen].unsqueeze(1)
        at = rows.starts[chosen].unsqueeze(1) + torch.minimum(steps, lengths - 1)
        label = rows.label[at]
        label[steps >= lengths] = float("nan")
        known = int(known_rows(label, steps=2).sum())
        return Window(rows.numeric[at], rows.categories[at], label, number == 0, known)


def windows(recipe: Network, rows: SequenceRows, validation: SequenceRows) -> tuple[Windows, Windows]:
    """The training's windows, as declared, and those of its validations."""
    declared = recipe.sequence
    assert declared is not None
    train = Windows(rows, window=declared.window, parallel=declared.parallel, seed=recipe.seed)
    return train, Windows(validation, window=_VALIDATION_STEPS, parallel=declared.parallel, seed=None)


def first_window(rows: Rows, *, steps: int, sequences: int) -> Window:
    """The first steps of the longest sequences."""
    assert isinstance(rows, SequenceRows)
    return next(iter(Windows(rows, window=steps, parallel=sequences, seed=None)))


def read_sequences(job: Job, *, sharing: int = 1) -> tuple[Encoding, SequenceRows, SequenceRows]:
    """Reads the sequences of a job, which lie in memory.

    Args:
        job: Whose.
        sharing: How many processes read at once on this machine; of sequences it is one.

    Returns:
        The encoding learnt from the training rows; the sequences up to the last training row; and those up to the last
        validation row, with the validation rows' labels only: the rows before them move the state.

    Raises:
        InputError: A column is missing or of a wrong type, or two rows are one step.
        TrainingError: A split has no rows, or nothing to learn.
    """
    sequence = job.network.sequence
    assert sequence is not None
    columns = [*job.numeric, *job.categories, LABEL]
    order = [name for name in (*sequence.entity, TIME) if name not in columns]
    parts = [_read(path, [*order, *columns]) for path in (job.train, job.validation)]
    context = _read(job.context, [*order, *columns]) if job.context is not None else parts[0].clear()
    network = {"module": job.network.module, "parameters": job.parameters}
    encoding = Encoding.learn(parts[0], job.numeric, job.categories, network)
    train = _arranged(job, encoding, parts[0], [context], "train")
    return encoding, train, _arranged(job, encoding, parts[1], [parts[0], context], "validation")


def _read(path: Path, columns: list[str]) -> pl.DataFrame:
    frame = pl.scan_parquet(path)
    known = frame.collect_schema().names()
    return frame.select([name for name in columns if name in known]).collect()


def _arranged(job: Job, encoding: Encoding, part: pl.DataFrame, others: list[pl.DataFrame], name: str) -> SequenceRows:
    """The rows of a split with its labels, and others up to its end without."""
    sequence = job.network.sequence
    assert sequence is not None
    if LABEL not in part.columns:
        raise TrainingError(required=f"column {LABEL} in the {name} split", found="none", remedy="rebuild the dataset")
    label = read_labels(job.task, part[LABEL], name)
    inputs = [column for column in part.columns if column != LABEL]
    until = part[TIME].max()
    earlier = [other.filter(pl.col(TIME) <= until).select(inputs) for other in others]
    frame = pl.concat([part.select(inputs), *earlier], how="vertical_relaxed")
    order, lengths = sequences(frame, sequence.entity)
    numeric, categories = encoding.encode(frame)
    unknown = np.full((frame.height - part.height, *label.shape[1:]), np.nan, dtype=np.float32)
    taught = np.concatenate([label, unknown])
    starts = torch.from_numpy(np.cumsum(lengths) - lengths)
    numbers, codes, labels = (torch.from_numpy(values[order]) for values in (numeric, categories, taught))
    return SequenceRows(numbers, codes, labels, starts=starts, lengths=torch.from_numpy(lengths.copy()))
