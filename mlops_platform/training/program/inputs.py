"""The rows of a dataset as tensors, refused where nothing can be learnt from them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch

from mlops_platform.errors import TrainingError
from mlops_platform.scoring.encoding import Encoding
from mlops_platform.training.job import LABEL, Job


@dataclass(frozen=True)
class Rows:
    """One split.

    Attributes:
        numeric: float32 [N, F], raw, NaN for null, contiguous.
        categories: int64 [N, C], contiguous.
        label: float32 [N], 0 or 1.
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
        TrainingError: A split has no rows, or labels of one class only.
    """
    columns = [*job.numeric, *job.categories, LABEL]
    train, validation = (_read(path, columns) for path in (job.train, job.validation))
    network = {"module": job.network.module, "parameters": dict(job.network.parameters)}
    encoding = Encoding.learn(train, job.numeric, job.categories, network)
    return encoding, _rows(encoding, train, "train"), _rows(encoding, validation, "validation")


def _read(path: Path, columns: list[str]) -> pl.DataFrame:
    frame = pl.scan_parquet(path)
    known = frame.collect_schema().names()
    return frame.select([name for name in columns if name in known]).collect()


def _rows(encoding: Encoding, frame: pl.DataFrame, split: str) -> Rows:
    if LABEL not in frame.columns:
        raise TrainingError(required=f"column {LABEL} in the {split} split", found="none", remedy="rebuild the dataset")
    counts = dict(frame[LABEL].value_counts().iter_rows())
    if set(counts) != {0, 1}:
        found = ", ".join(f"{n} rows of label {label}" for label, n in counts.items()) or "no rows"
        raise TrainingError(
            required=f"rows of label 0 and of label 1 in the {split} split", found=found,
            remedy="land more data, or move the split so that it holds both",
        )  # fmt: skip
    numeric, categories = encoding.encode(frame)
    label = frame[LABEL].cast(pl.Float32).to_numpy().astype(np.float32)
    return Rows(torch.from_numpy(numeric), torch.from_numpy(categories), torch.from_numpy(label))
