"""Paired bootstrap: how sure is it that one model's metric differs from another's on the same rows?

Rows are drawn with replacement and both models are measured on the same draw, so that what is hard for both cancels
(Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 6 and 13). Its answer for the ROC AUC agrees
with the closed form of DeLong, DeLong and Clarke-Pearson ("Comparing the areas under two or more correlated receiver
operating characteristic curves", Biometrics 1988), and it serves every other metric as well.
"""

from dataclasses import dataclass

import numpy as np

from mlops_platform.evaluation.errors import EvaluationError
from mlops_platform.scoring.metrics import Labels, Scores
from mlops_platform.scoring.resampling import draws, resampled_metric
from mlops_platform.spec import LOWER_IS_BETTER

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
    drawn = draws(np.random.default_rng(seed), len(labels), resamples)
    differences = np.concatenate([measures[0](counts) - measures[1](counts) for counts in drawn])
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
