"""The metrics again for each part of the rows: by origin, by carrier, by hour, whatever the model declares."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from mlops_platform.scoring.metrics import Labels, Metrics, Scores, measure

SMALLEST_SLICE = 100
"""Rows below which a metric is mostly chance; smaller slices are measured together."""
MERGED = "(other)"
MISSING = "(missing)"


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One part of the rows.

    Attributes:
        value: The column's value there, as text; ``(missing)`` for null, ``(other)`` for small slices together.
        rows: How many rows.
        positives: How many of them are labelled 1; None of forecasts.
        known: Of forecasts, how many labels are known, steps counted each; else None.
        merged: How many values of the column it stands for.
        metrics: Every metric by model; those of ranking are None where the slice has one class.
    """

    value: str
    rows: int
    positives: int | None
    merged: int
    metrics: Mapping[str, Metrics]
    known: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The slice as reports hold it, without what the task has not."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def slice_metrics(
    column: pl.Series, labels: Labels, scores: Mapping[str, Scores], *, smallest: int = SMALLEST_SLICE
) -> list[Slice]:
    """Measures each model on each value of a column.

    Args:
        column: Values [N] of any type.
        labels: int8 [N], or of forecasts float [N, H].
        scores: By model, shaped as the labels.
        smallest: Slices of fewer rows are merged into ``(other)``.

    Returns:
        The slices by rising value, then ``(missing)``, then ``(other)``; together they have N rows.
    """
    frame = pl.DataFrame({"value": column}).with_row_index("row")
    groups = frame.group_by("value").agg("row").sort("value", nulls_last=True)
    slices, small = [], []
    for value, rows in zip(groups["value"], groups["row"], strict=True):
        if len(rows) < smallest:
            small.append(rows.to_numpy())
        else:
            name = MISSING if value is None else str(value)
            slices.append(_measured(name, [rows.to_numpy()], labels, scores))
    return [*slices, _measured(MERGED, small, labels, scores)] if small else slices


def _measured(name: str, parts: Sequence[npt.NDArray[np.integer]], labels: Labels,
              scores: Mapping[str, Scores]) -> Slice:  # fmt: skip
    rows = np.concatenate(parts)
    truth = labels[rows]
    metrics = {model: measure(truth, values[rows]) for model, values in scores.items()}
    forecast = truth.ndim == 2
    return Slice(
        value=name, rows=len(rows), merged=len(parts), metrics=metrics,
        positives=None if forecast else int(np.count_nonzero(truth)),
        known=int(np.isfinite(truth).sum()) if forecast else None,
    )  # fmt: skip
