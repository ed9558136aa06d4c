"""Paired bootstrap: how sure is it that one model's metric differs from another's on the same rows?

Rows are drawn with replacement and both models are measured on the same draw, so that what is hard for both cancels
(Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 6 and 13). Its answer for the ROC AUC agrees
with the closed form of DeLong, DeLong and Clarke-Pearson ("Comparing the areas under two or more correlated receiver
operating characteristic curves", Biometrics 1988), and it serves every other metric as well.

A resample is how often each row was drawn. The rows are sorted once by score; each resample's metric then follows
from running sums of those counts, many resamples at a time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlops_platform.evaluation.errors import EvaluationError
from mlops_platform.evaluation.metrics import Labels, Scores, calibration_places, keep_inside
from mlops_platform.spec import LOWER_IS_BETTER

Counts = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]
Resampled = Callable[[Counts], Values]

_CELLS = 1 << 20
"""Counts held at a time, resamples times rows: small enough to stay near the processor."""
_DEFINED = 0.9
"""Share of the resamples in which the metric must be defined (rows of both classes were drawn)."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A metric's difference between two models on the same rows, and how sure it is.

    Attributes:
        metric: One of ``spec.METRICS``.
        difference: First model's value less the other's, on the rows as they are.
        lower, upper: Bounds, each one-sided: the true difference lies above ``lower`` with the given confidence, and
            below ``upper`` with the same. So 0.95 spans the two-sided interval of 90 %.
        standard_error: Standard deviation over the resamples.
        confidence: Of each bound.
        resamples: How many were drawn.
    """

    metric: str
    difference: float
    lower: float
    upper: float
    standard_error: float
    confidence: float
    resamples: int

    @property
    def gain(self) -> float:
        """How much better the first model is, whichever way the metric points."""
        return -self.difference if self.metric in LOWER_IS_BETTER else self.difference

    @property
    def gain_lower(self) -> float:
        """The gain that is exceeded with the given confidence."""
        return -self.upper if self.metric in LOWER_IS_BETTER else self.lower


def paired_difference(labels: Labels, first: Scores, other: Scores, *, metric: str, resamples: int = 500,
                      confidence: float = 0.95, seed: int = 0) -> Difference:  # fmt: skip
    """Bootstraps a metric's difference between two models; percentile bounds.

    Args:
        labels: int8 [N], 0 and 1.
        first: Probabilities [N] of the model that is judged.
        other: Probabilities [N] of the model it is compared with, same rows.
        metric: One of ``spec.METRICS``.
        resamples: How many times N rows are drawn.
        confidence: Of each one-sided bound.
        seed: Of the draws; the same arguments give the same bits.

    Raises:
        EvaluationError: One class is so rare that over a tenth of the resamples have none of it.
    """
    measures = [resampled_metric(metric, labels, scores) for scores in (first, other)]
    observed = [float(measure(np.ones((1, len(labels)), dtype=np.float32))[0]) for measure in measures]
    draws = _draws(np.random.default_rng(seed), len(labels), resamples)
    differences = np.concatenate([measures[0](counts) - measures[1](counts) for counts in draws])
    differences = differences[np.isfinite(differences)]
    if len(differences) < _DEFINED * resamples:
        raise EvaluationError(
            required=f"enough rows of both classes to bootstrap {metric}",
            found=f"{len(labels)} rows, {int(np.count_nonzero(labels))} of them positive",
            remedy="choose a longer Split.holdout",
        )
    lower, upper = np.quantile(differences, [1 - confidence, confidence])
    return Difference(
        metric=metric, difference=observed[0] - observed[1], lower=float(lower), upper=float(upper),
        standard_error=float(differences.std(ddof=1)), confidence=confidence, resamples=resamples,
    )  # fmt: skip


def resampled_metric(metric: str, labels: Labels, scores: Scores) -> Resampled:
    """A metric of one model as a function of how often each row was drawn.

    Args:
        metric: One of ``spec.METRICS``.
        labels: int8 [N], 0 and 1.
        scores: Probabilities [N].

    Returns:
        Function of counts [B, N], float32, that gives the metric [B], float64; NaN where a draw has one class only
        and the metric needs both.
    """
    truth = np.asarray(labels, dtype=np.float64)
    probability = np.asarray(scores, dtype=np.float64)
    if metric in ("roc_auc", "average_precision"):
        return _ranking(metric, np.asarray(labels), np.asarray(scores))
    if metric == "calibration_error":
        return _calibration(truth, probability)
    inside = keep_inside(probability)
    losses = {
        "log_loss": -(truth * np.log(inside) + (1 - truth) * np.log1p(-inside)),
        "brier": (probability - truth) ** 2,
    }[metric]
    return lambda counts: np.einsum("bn,n->b", counts, losses) / counts.sum(axis=1, dtype=np.float64)


def _draws(random: np.random.Generator, rows: int, resamples: int) -> Iterator[Counts]:
    """How often each row was drawn, [B, N] float32, in blocks of resamples."""
    block = max(1, _CELLS // rows)
    for begin in range(0, resamples, block):
        size = min(block, resamples - begin)
        drawn = random.integers(0, rows, size=(size, rows), dtype=np.int32)
        drawn += np.arange(size, dtype=np.int32)[:, None] * np.int32(rows)
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float32)


def _ranking(metric: str, labels: Labels, scores: Scores) -> Resampled:
    order = np.argsort(-scores, kind="stable")
    ranked, positive = scores[order], labels[order].astype(bool)
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    formula = _auc if metric == "roc_auc" else _precision

    def measured(counts: Counts) -> Values:
        """Sums per group of equal scores, best group first, and from those the metric."""
        weights = counts[:, order]
        caught = np.cumsum(weights * positive, axis=1, dtype=np.float64)[:, ends]
        flagged = np.cumsum(weights, axis=1, dtype=np.float64)[:, ends]
        with np.errstate(divide="ignore", invalid="ignore"):
            return formula(caught, flagged - caught)

    return measured


def _auc(caught: Values, alarms: Values) -> Values:
    """From true and false positives [B, G] at each threshold, the area by trapezia."""
    height = caught[:, 1:] + caught[:, :-1]
    area = (np.diff(alarms, axis=1) * height).sum(axis=1) + alarms[:, 0] * caught[:, 0]
    return area / (2 * caught[:, -1] * alarms[:, -1])


def _precision(caught: Values, alarms: Values) -> Values:
    """From true and false positives [B, G] at each threshold, the mean precision weighted by the gain in recall."""
    flagged = caught + alarms
    precision = np.divide(caught, flagged, out=np.zeros_like(caught), where=flagged > 0)
    gains = np.diff(caught, axis=1, prepend=0)
    return (gains * precision).sum(axis=1) / caught[:, -1]


def _calibration(truth: Values, probability: Values) -> Resampled:
    """The bins are those of all rows and stay while rows are redrawn."""
    place = calibration_places(probability)
    gaps = np.zeros((len(place), int(place.max()) + 1), dtype=np.float32)
    gaps[np.arange(len(place)), place] = probability - truth
    return lambda counts: np.abs(counts @ gaps).sum(axis=1, dtype=np.float64) / counts.sum(axis=1, dtype=np.float64)
