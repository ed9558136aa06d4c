"""The rows of a dataset as tensors, refused where nothing can be learnt from them.

Rows that fit lie in memory. Those that do not are encoded, a part after the other, into files that are mapped into
memory; the tensors hold the same bits in both, so where they lie decides nothing but the speed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from mlops_platform.errors import CorruptArtifactError, TrainingError
from mlops_platform.scoring.encoding import Encoding, Vocabulary
from mlops_platform.spec import Task
from mlops_platform.training.job import LABEL, Job
from mlops_platform.training.program.labels import read_labels
from mlops_platform.training.program.mapped import chunks, finite, mapped
from mlops_platform.training.program.memory import available
from mlops_platform.training.program.network import finite_columns

_ROOM = 4
"""Rows lie in memory if so many times their size is free: the frame that they are read from is twice as wide as the
tensors, and training takes memory, too."""


@dataclass(frozen=True)
class Rows:
    """One split.

    Attributes:
        numeric: float32 [N, F], raw, NaN for null, contiguous.
        categories: int64 [N, C], contiguous.
        label: float32 [N], 0 or 1; of a forecast [N, H], NaN where unknown.
        path: The Parquet file of these rows, where numbers and categories lie in mapped files; None where they lie in
            memory.
        columns: Names of the numeric columns, if so.
    """

    numeric: torch.Tensor
    categories: torch.Tensor
    label: torch.Tensor
    path: Path | None = None
    columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.label)

    @property
    def known_label(self) -> torch.Tensor:
        """Labels of the rows that have one: here, all."""
        return self.label

    @property
    def tensors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The three, in the order of the network's step."""
        return self.numeric, self.categories, self.label

    def finite(self) -> Iterator[np.ndarray]:
        """The finite values float64 of each numeric column, one after the other."""
        if self.path is None:
            return finite_columns(self.numeric)
        # From the column store: among the mapped rows, each column would cost the reading of all.
        return (finite(self.path, name, len(self)) for name in self.columns)


def read_splits(job: Job, *, memory: int | None = None, sharing: int = 1) -> tuple[Encoding, Rows, Rows]:
    """Reads the training and validation rows of a job.

    Args:
        job: Whose.
        memory: Bytes that may be taken; measured where it is None.
        sharing: How many processes read at once on this machine.

    Returns:
        The encoding learnt from the training rows, and both splits encoded by it.

    Raises:
        CorruptArtifactError: A file is missing or damaged.
        InputError: A declared column is missing or of a wrong type.
        TrainingError: A split has no rows, labels of one class only, or a step of which nothing is known; or neither
            memory nor disk has room for the rows.
    """
    columns = [*job.numeric, *job.categories, LABEL]
    row_bytes = 4 * len(job.numeric) + 8 * len(job.categories) + 4
    size = row_bytes * sum(_height(path) for path in (job.train, job.validation))
    network = {"module": job.network.module, "parameters": job.parameters}
    if _ROOM * size > (available() if memory is None else memory) // sharing:
        encoding, task = _learn(job, network), job.task
        return encoding, _map(task, encoding, job.train, "train"), _map(task, encoding, job.validation, "validation")
    train, validation = (_read(path, columns) for path in (job.train, job.validation))
    encoding = Encoding.learn(train, job.numeric, job.categories, network)
    return encoding, _rows(job.task, encoding, train, "train"), _rows(job.task, encoding, validation, "validation")


def _height(path: Path) -> int:
    try:
        return int(pl.scan_parquet(path).select(pl.len()).collect().item())
    except (OSError, pl.exceptions.ComputeError) as error:
        raise CorruptArtifactError(
            required=f"a whole Parquet file at {path}", found=str(error),
            remedy="remove the folder of this dataset; the next run that needs it makes it again",
        ) from error  # fmt: skip


def _read(path: Path, columns: list[str]) -> pl.DataFrame:
    return pl.scan_parquet(path).select(_known(path, columns)).collect()


def _known(path: Path, columns: list[str]) -> list[str]:
    known = pl.scan_parquet(path).collect_schema().names()
    return [name for name in columns if name in known]


def _learn(job: Job, network: dict[str, Any]) -> Encoding:
    """The encoding of training rows of which no more than one column's distinct values are in memory."""
    empty = pl.scan_parquet(job.train).head(0).collect()
    encoding = Encoding.learn(empty, job.numeric, job.categories, network)
    columns = (pl.scan_parquet(job.train).select(pl.col(name).unique()) for name in job.categories)
    learnt = [Vocabulary.learn(column.collect(engine="streaming").to_series()) for column in columns]
    return replace(encoding, vocabularies=tuple(learnt))


def _rows(task: Task, encoding: Encoding, frame: pl.DataFrame, split: str) -> Rows:
    label = _labels(task, frame, split)
    numeric, categories = encoding.encode(frame)
    return Rows(torch.from_numpy(numeric), torch.from_numpy(categories), label)


def _map(task: Task, encoding: Encoding, path: Path, split: str) -> Rows:
    label = _labels(task, _read(path, [LABEL]), split)
    numeric = mapped((len(label), len(encoding.numeric)), torch.float32, at_random=True)
    categories = mapped((len(label), len(encoding.vocabularies)), torch.int64, at_random=True)
    begun = 0
    for frame in chunks(path, _known(path, list(encoding.columns))):
        part = slice(begun, begun := begun + frame.height)
        numbers, codes = encoding.encode(frame)
        numeric[part], categories[part] = torch.from_numpy(numbers), torch.from_numpy(codes)
    return Rows(numeric, categories, label, path=path, columns=encoding.numeric)


def _labels(task: Task, frame: pl.DataFrame, split: str) -> torch.Tensor:
    if LABEL not in frame.columns:
        raise TrainingError(required=f"column {LABEL} in the {split} split", found="none", remedy="rebuild the dataset")
    return torch.from_numpy(read_labels(task, frame[LABEL], split))
