"""The labels of rows as arrays, refused where nothing can be learnt from them."""

import numpy as np
import polars as pl

from mlops_platform.errors import TrainingError
from mlops_platform.spec import Forecast, Task


def read_labels(task: Task, column: pl.Series, split: str) -> np.ndarray:
    """Labels of a split.

    Args:
        task: Of the model.
        column: Its labels.
        split: Its name, for the errors.

    Returns:
        float32 [N], 0 or 1; of a forecast [N, H], NaN where an element is null.

    Raises:
        TrainingError: There are no rows, labels of one class only, or a step of which nothing is known.
    """
    return _numbers(task, column, split) if isinstance(task, Forecast) else _classes(column, split)


def _classes(column: pl.Series, split: str) -> np.ndarray:
    counts = dict(column.value_counts().iter_rows())
    if set(counts) != {0, 1}:
        found = ", ".join(f"{n} rows of label {label}" for label, n in counts.items()) or "no rows"
        raise TrainingError(
            required=f"rows of label 0 and of label 1 in the {split} split", found=found,
            remedy="land more data, or move the split so that it holds both",
        )  # fmt: skip
    return column.cast(pl.Float32).to_numpy().astype(np.float32)


def _numbers(task: Forecast, column: pl.Series, split: str) -> np.ndarray:
    wanted = pl.Array(pl.Float32, task.horizon)
    if column.dtype != wanted or column.null_count():
        raise TrainingError(
            required=f"labels of {wanted} in the {split} split",
            found=f"{column.dtype}, {column.null_count()} rows without",
            remedy=f"let Examples.labelled make arrays of {task.horizon} Float32, null elements where unknown",
        )  # fmt: skip
    label = column.to_numpy().astype(np.float32).reshape(len(column), task.horizon)
    silent = [step + 1 for step in range(task.horizon) if np.isnan(label[:, step]).all()]
    infinite = int(np.isinf(label).sum())
    if silent or infinite:
        found = f"nothing known of step {', '.join(map(str, silent))}" if silent else f"{infinite} infinite numbers"
        raise TrainingError(
            required=f"finite numbers as labels of every step in the {split} split", found=found,
            remedy="land more data, or declare a shorter Forecast.horizon",
        )  # fmt: skip
    return label
