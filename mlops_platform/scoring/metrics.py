"""The metrics of a model's scores: those of a binary classifier, by scikit-learn where it has them.

But for ``measure``, ``labels`` is everywhere here an int8 array [N] of 0 and 1 and ``scores`` a float array [N] of
probabilities. A metric that is not defined for its input is None, never a number that stands in for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from mlops_platform.scoring import forecasts

Labels = npt.NDArray[np.int8 | np.floating]
Scores = npt.NDArray[np.floating]
Metrics = Mapping[str, float | None]

CALIBRATION_BINS = 15
SMALLEST_SCORE = 1e-7
"""Scores are kept this far from 0 and 1 in the log loss, about the resolution of float32 beside 1."""


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """Rows of similar score.

    Attributes:
        rows: How many.
        mean_score: Mean predicted probability.
        positive_rate: Share of rows whose label is 1.
    """

    rows: int
    mean_score: float
    positive_rate: float


def measure(labels: Labels, scores: Scores) -> dict[str, float | None]:
    """Every metric of the task that the labels are of.

    Args:
        labels: int8 [N], 0 and 1, of a binary classifier; float [N, H] of a forecast: see ``forecasts.measure``.
        scores: Of the same shape.

    Returns:
        Each metric by name. Those of a binary classifier are None for all where a score is not finite, for those of
        probabilities where a score lies outside [0, 1], and for those of ranking where the labels have one class.
    """
    if labels.ndim == 2:
        return forecasts.measure(labels, scores)
    scores = np.asarray(scores, dtype=np.float64)
    finite = len(scores) > 0 and bool(np.isfinite(scores).all())
    ranking = finite and 0 < np.count_nonzero(labels) < len(labels)
    probability = finite and bool(((scores >= 0) & (scores <= 1)).all())
    return {
        "roc_auc": roc_auc(labels, scores) if ranking else None,
        "average_precision": average_precision(labels, scores) if ranking else None,
        "log_loss": log_loss(labels, scores) if probability else None,
        "brier": brier(labels, scores) if probability else None,
        "calibration_error": calibration_error(labels, scores) if probability else None,
    }


def roc_auc(labels: Labels, scores: Scores) -> float:
    """Area under the ROC curve: the chance that a positive row scores above a negative one, ties counting half."""
    return float(roc_auc_score(labels, scores))


def average_precision(labels: Labels, scores: Scores) -> float:
    """Mean of the precisions at each threshold, weighted by the gain in recall."""
    return float(average_precision_score(labels, scores))


def log_loss(labels: Labels, scores: Scores) -> float:
    """Mean negative log likelihood, in nats a row."""
    return float(sklearn_log_loss(labels, keep_inside(scores), labels=[0, 1]))


def brier(labels: Labels, scores: Scores) -> float:
    """Mean squared error of the probabilities."""
    return float(brier_score_loss(labels, scores, labels=[0, 1], pos_label=1))


def calibration_error(labels: Labels, scores: Scores, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error: mean distance of score and positive rate over bins, weighted by their rows.

    The measure is that of Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian
    Binning" (AAAI 2015). The bins hold equal numbers of rows, as Nguyen and O'Connor, "Posterior calibration and
    exploratory analysis for natural language processing models" (EMNLP 2015), propose; Roelofs et al., "Mitigating
    Bias in Calibration Error Estimation" (AISTATS 2022), find them less biased than bins of equal width.
    """
    place = calibration_places(scores, bins)
    gaps = np.bincount(place, weights=np.asarray(scores, dtype=np.float64) - labels)
    return float(np.abs(gaps).sum() / len(scores))


def calibration_table(labels: Labels, scores: Scores, bins: int = CALIBRATION_BINS) -> list[CalibrationBin]:
    """The bins behind ``calibration_error``, by rising score; fewer than ``bins`` where scores repeat."""
    place = calibration_places(scores, bins)
    rows = np.bincount(place)
    mean_scores = np.bincount(place, weights=np.asarray(scores, dtype=np.float64)) / rows
    rates = np.bincount(place, weights=np.asarray(labels, dtype=np.float64)) / rows
    return [
        CalibrationBin(rows=int(r), mean_score=float(s), positive_rate=float(p))
        for r, s, p in zip(rows, mean_scores, rates, strict=True)
    ]


def calibration_places(scores: Scores, bins: int = CALIBRATION_BINS) -> npt.NDArray[np.intp]:
    """The bin of each row [N], intp, counted from 0 without gaps; rows of equal score share one."""
    scores = np.asarray(scores, dtype=np.float64)
    edges = np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1])
    place = np.searchsorted(edges, scores, side="left")
    return np.unique(place, return_inverse=True)[1].astype(np.intp)


def keep_inside(scores: Scores) -> npt.NDArray[np.float64]:
    """Scores [N], float64, kept off 0 and 1, where a logarithm ends."""
    return np.clip(np.asarray(scores, dtype=np.float64), SMALLEST_SCORE, 1 - SMALLEST_SCORE)
