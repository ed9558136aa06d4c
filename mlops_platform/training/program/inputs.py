"""The rows of a dataset as tensors, refused where nothing can be learnt from them."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch

from mlops_platform.errors import TrainingError
from mlops_platform.scoring.encoding import Encoding
from mlops_platform.spec import Task
from mlops_platform.training.job import LABEL, Job
from mlops_platform.training.program.labels import read_labels


@dataclass(frozen=True)
class Rows:
    """One split.

    Attributes:
        numeric: float32 [N, F], raw, NaN for null, contiguous.
        categories: int64 [N, C], contiguous.
        label: float32 [N], 0 or 1; of a forecast [N, H], NaN where unknown.
    """

    numeric: torch.Tensor
    categories: torch.Tensor
    label: torch.Tensor

    def __len__(self) -> int:
        return len(self.label)

    @property
    def tensors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The three, in the order of the network's step."""
        return self.numeric, self.categories, self.label


def read_splits(job: Job) -> tuple[Encoding, Rows, Rows]:
    """Reads the training and validation rows of a job.

    Returns:
        The encoding learnt from the training rows, and both splits encoded by it.

    Raises:
        InputError: A declared column is missing or of a wrong type.
        TrainingError: A split has no rows, labels of one class only, or a step of which nothing is known.
    """
    columns = [*job.numeric, *job.categories, LABEL]
    train, validation = (_read(path, columns) for path in (job.train, job.validation))
    network = {"module": job.network.module, "parameters": job.parameters}
    encoding = Encoding.learn(train, job.numeric, job.categories, network)
    return encoding, _rows(job.task, encoding, train, "train"), _rows(job.task, encoding, validation, "validation")


def _read(path: Path, columns: list[str]) -> pl.DataFrame:
    frame = pl.scan_parquet(path)
    known = frame.collect_schema().names()
    return frame.select([name for name in columns if name in known]).collect()


def _rows(task: Task, encoding: Encoding, frame: pl.DataFrame, split: str) -> Rows:
    if LABEL not in frame.columns:
        raise TrainingError(required=f"column {LABEL} in the {split} split", found="none", remedy="rebuild the dataset")
    numeric, categories = encoding.encode(frame)
    label = read_labels(task, frame[LABEL], split)
    return Rows(torch.from_numpy(numeric), torch.from_numpy(categories), torch.from_numpy(label))
