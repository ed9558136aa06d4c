"""A metric of many resamples at a time: what a bootstrap redraws.

A resample is how often each row was drawn. The rows are sorted once by score; each resample's metric then follows
from running sums of those counts, many resamples at a time.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from mlops_platform.scoring import forecasts
from mlops_platform.scoring.metrics import Labels, Scores, calibration_places, keep_inside

Counts = npt.NDArray[np.float32]
Groups = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Resampled = Callable[[Counts], Values]

_CELLS = 1 << 20
"""Counts held at a time, resamples times rows: small enough to stay near the processor."""


def resampled_metric(metric: str, labels: Labels, scores: Scores) -> Resampled:
    """A metric of one model as a function of how often each row was drawn.

    Args:
        metric: One of the task's.
        labels: int8 [N], 0 and 1, or of a forecast float [N, H].
        scores: Probabilities [N], or [N, H].

    Returns:
        Function of counts [B, N], float32, that gives the metric [B], float64; NaN where a draw has one class only
        and the metric needs both, or no known label.
    """
    if labels.ndim == 2:
        return forecasts.resampled(metric, labels, scores)
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


def draws(random: np.random.Generator, rows: int, resamples: int) -> Iterator[Counts]:
    """How often each row was drawn, [B, N] float32, in blocks of resamples."""
    block = max(1, _CELLS // rows)
    for begin in range(0, resamples, block):
        size = min(block, resamples - begin)
        drawn = random.integers(0, rows, size=(size, rows), dtype=np.int32)
        drawn += np.arange(size, dtype=np.int32)[:, None] * np.int32(rows)
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float32)


def group_draws(random: np.random.Generator, groups: Groups, resamples: int) -> Iterator[Counts]:
    """How often each row was drawn, [B, N] float32, in blocks of resamples, where groups are drawn whole.

    Args:
        random: Decides the draws.
        groups: Number of each row's group [N], from 0 and without gaps; as many groups are drawn as there are.
        resamples: How many times.
    """
    block = max(1, _CELLS // len(groups))
    for drawn in draws(random, int(groups.max()) + 1, resamples):
        for begin in range(0, len(drawn), block):
            yield drawn[begin : begin + block][:, groups]


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
