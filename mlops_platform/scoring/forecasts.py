"""The metrics of forecasts.

Everywhere here ``labels`` and ``scores`` are float arrays [N, H], a number for each row and step; a label that is NaN
is not known, and its score counts nowhere. A metric that is not defined for its input is None.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.number]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step ahead.

    Attributes:
        step: From 1.
        known: Rows whose label of it is known.
        mae, rmse, bias: Of these rows.
    """

    step: int
    known: int
    mae: float | None
    rmse: float | None
    bias: float | None


def measure(labels: Numbers, scores: Numbers) -> dict[str, float | None]:
    """Every metric of ``spec.Forecast``, over all known elements alike.

    Returns:
        ``mae`` and ``rmse``, mean absolute and root mean squared error, and ``bias``, the mean of score less label;
        None for all where a score is not finite or no label is known.
    """
    scores = np.asarray(scores, dtype=np.float64)
    known = np.isfinite(labels)
    if not known.any() or not np.isfinite(scores).all():
        return {"mae": None, "rmse": None, "bias": None}
    error = scores[known] - np.asarray(labels, dtype=np.float64)[known]
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(np.square(error).mean())),
        "bias": float(error.mean()),
    }


def by_step(labels: Numbers, scores: Numbers) -> list[Step]:
    """The metrics of each step ahead."""
    found = []
    for step in range(labels.shape[1]):
        ahead = slice(step, step + 1)
        metrics = measure(labels[:, ahead], scores[:, ahead])
        found.append(Step(step=step + 1, known=int(np.isfinite(labels[:, ahead]).sum()), **metrics))
    return found


def resampled(metric: str, labels: Numbers, scores: Numbers) -> Callable[[npt.NDArray[np.float32]], Values]:
    """A metric of one model as a function of how often each row was drawn; see ``resampling.resampled_metric``."""
    known = np.isfinite(labels)
    error = np.where(known, np.asarray(scores, dtype=np.float64) - np.where(known, labels, 0), 0)
    sums = {"mae": np.abs(error), "rmse": np.square(error), "bias": error}[metric].sum(axis=1)
    elements = known.sum(axis=1).astype(np.float64)

    def measured(counts: npt.NDArray[np.float32]) -> Values:
        with np.errstate(invalid="ignore"):
            mean = np.einsum("bn,n->b", counts, sums) / np.einsum("bn,n->b", counts, elements)
        return np.sqrt(mean) if metric == "rmse" else mean

    return measured
