"""Paired bootstrap: how sure is it that one model's metric differs from another's on the same rows?

Rows are drawn with replacement and both models are measured on the same draw, so that what is hard for both cancels
(Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 6 and 13). Its answer for the ROC AUC agrees
with the closed form of DeLong, DeLong and Clarke-Pearson ("Comparing the areas under two or more correlated receiver
operating characteristic curves", Biometrics 1988), and it serves every other metric as well.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from mlops_platform.evaluation.errors import EvaluationError
from mlops_platform.scoring.metrics import Labels, Scores
from mlops_platform.scoring.resampling import Groups, draws, group_draws, resampled_metric
from mlops_platform.spec import LOWER_IS_BETTER

_DEFINED = 0.9
"""Share of the resamples in which the metric must be defined (rows of both classes were drawn)."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A metric's difference between two models on the same rows, and how sure it is.

    Attributes:
        metric: One of the task's.
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


def drawn_together(scores: pl.DataFrame) -> Groups | None:
    """The day of each row [N], in which its luck lies, where rows are forecasts: each hour's label is in several rows.

    Args:
        scores: ``label``, and ``event_timestamp`` of forecasts.

    Returns:
        The number of each row's group, for ``paired_difference``; None of a binary classifier, whose rows are drawn
        one by one.
    """
    if not isinstance(scores.schema["label"], pl.Array):
        return None
    days = scores["event_timestamp"].dt.truncate("1d").to_physical().to_numpy()
    return np.unique(days, return_inverse=True)[1].astype(np.int64)


def paired_difference(labels: Labels, first: Scores, other: Scores, *, metric: str, resamples: int = 500,
                      confidence: float = 0.95, seed: int = 0, groups: Groups | None = None) -> Difference:  # fmt: skip
    """Bootstraps a metric's difference between two models; percentile bounds.

    Args:
        labels: int8 [N], 0 and 1, or of forecasts float [N, H].
        first: Scores of the model that is judged, shaped as the labels.
        other: Scores of the model it is compared with, same rows.
        metric: One of the task's.
        resamples: How many times N rows are drawn.
        confidence: Of each one-sided bound.
        seed: Of the draws; the same arguments give the same bits.
        groups: Number of each row's group [N], from 0 and without gaps, where groups are drawn whole.

    Raises:
        EvaluationError: One class is so rare that over a tenth of the resamples have none of it.
    """
    measures = [resampled_metric(metric, labels, scores) for scores in (first, other)]
    observed = [float(measure(np.ones((1, len(labels)), dtype=np.float32))[0]) for measure in measures]
    random = np.random.default_rng(seed)
    drawn = draws(random, len(labels), resamples) if groups is None else group_draws(random, groups, resamples)
    differences = np.concatenate([measures[0](counts) - measures[1](counts) for counts in drawn])
    differences = differences[np.isfinite(differences)]
    if len(differences) < _DEFINED * resamples:
        raise EvaluationError(
            required=f"enough rows of both classes to bootstrap {metric}"
            if labels.ndim == 1
            else f"enough known labels to bootstrap {metric}",
            found=f"{len(labels)} rows, {int(np.count_nonzero(labels))} of them positive"
            if labels.ndim == 1
            else f"{int(np.isfinite(labels).sum())} in {len(labels)} rows",
            remedy="choose a longer Split.holdout",
        )
    lower, upper = np.quantile(differences, [1 - confidence, confidence])
    return Difference(
        metric=metric, difference=observed[0] - observed[1], lower=float(lower), upper=float(upper),
        standard_error=float(differences.std(ddof=1)), confidence=confidence, resamples=resamples,
    )  # fmt: skip
