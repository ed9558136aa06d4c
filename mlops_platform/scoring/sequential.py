"""Bounds that may be looked at any number of times, and what two models' difference is within them.

A bound of one look says too little of the second: who looks daily until something is significant finds it by luck. A
confidence sequence holds at all looks at once. This one is asymptotic and one-sided on either side: Waudby-Smith,
Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences" (Annals of
Statistics 52, 2024), in the line of Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic
confidence sequences" (Annals of Statistics 49, 2021). Of few groups a normal bound says too much (Cameron, Gelbach and
Miller, "Bootstrap-based improvements for inference with clustered errors", Review of Economics and Statistics 90,
2008), so its width is that of Student's t at the same tail.
"""

import math
from dataclasses import dataclass

import numpy as np

from mlops_platform.scoring.metrics import Labels, Scores
from mlops_platform.scoring.resampling import Groups, group_draws, resampled_metric
from mlops_platform.spec import LOWER_IS_BETTER

_DEFINED = 0.9
"""Share of the resamples in which the metric must be defined (rows of both classes were drawn)."""


@dataclass(frozen=True, kw_only=True)
class Gain:
    """How much better one model is than another on the same rows, whichever way the metric points.

    Attributes:
        gain: On the rows as they are.
        lower, upper: Bounds of a confidence sequence, each one-sided: at no look ever is the true gain below ``lower``,
            but for a chance of one minus the confidence; and above ``upper`` likewise.
        standard_error: Of the gain, over redrawn groups.
    """

    gain: float
    lower: float
    upper: float
    standard_error: float


def width(groups: int, confidence: float, *, expected: float) -> float:
    """How many standard errors a bound lies away from the estimate.

    Args:
        groups: Independent groups of rows seen so far, two or more.
        confidence: Of each one-sided bound, at all looks together.
        expected: The number of groups at which the bound is to be tightest; it holds at every other as well.
    """
    from scipy import stats

    alpha = 1 - confidence
    rho = -2 * math.log(2 * alpha) + math.log(-2 * math.log(2 * alpha)) + 1 if alpha < 0.15 else 1.0
    information = groups * rho / expected
    normal = math.sqrt(2 * (information + 1) / information * math.log1p(math.sqrt(information + 1) / (2 * alpha)))
    # By logarithms, since the tail of a high confidence is smaller than a float32 can tell from zero.
    return float(stats.t.isf(stats.norm.sf(normal), groups - 1))


def sequential_gain(labels: Labels, first: Scores, other: Scores, groups: Groups, *, metric: str, confidence: float,
                    expected: float, resamples: int = 500, seed: int = 0) -> Gain | None:  # fmt: skip
    """One look at the gain of the first model over the other; paired, by whole groups redrawn.

    Args:
        labels: int8 [N], 0 and 1, or of forecasts float [N, H].
        first, other: Scores of both models, shaped as the labels.
        groups: Number of each row's group [N], from 0 and without gaps, say its day; two groups or more.
        metric: One of the task's.
        confidence: Of each one-sided bound, at all looks together.
        expected: The number of groups at which the bounds are to be tightest.
        resamples: How many times the groups are drawn.
        seed: Of the draws; the same arguments give the same bits.

    Returns:
        The look; None where the metric is not defined in over a tenth of the resamples.
    """
    measures = [resampled_metric(metric, labels, scores) for scores in (first, other)]
    whole = np.ones((1, len(labels)), dtype=np.float32)
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    gain = sign * float(measures[0](whole)[0] - measures[1](whole)[0])
    drawn = group_draws(np.random.default_rng(seed), groups, resamples)
    values = np.concatenate([measures[0](counts) - measures[1](counts) for counts in drawn])
    values = values[np.isfinite(values)]
    if not np.isfinite(gain) or len(values) < _DEFINED * resamples:
        return None
    count = int(groups.max()) + 1
    # Redrawn groups vary as if their mean were known: less than they do, by one in ``count``.
    error = float(values.std(ddof=1)) * math.sqrt(count / (count - 1))
    reach = width(count, confidence, expected=expected) * error
    return Gain(gain=gain, lower=gain - reach, upper=gain + reach, standard_error=error)


def rate_is_above(count: int, total: int, limit: float, confidence: float) -> bool:
    """Whether a rate is shown to be above a limit; however often it is asked, a rate that is not is seldom called so.

    Of independent trials; by the likelihood of all rates above the limit alike, beside that of the limit itself, a
    ratio which is seldom ever large while the limit holds (J. Ville, 1939; H. Robbins, "Statistical methods related to
    the law of the iterated logarithm", Annals of Mathematical Statistics 41, 1970).

    Args:
        count: How many of the trials were so.
        total: How many trials there were.
        limit: From 0 to below 1.
        confidence: At all looks together.
    """
    if not count or limit == 0:
        return count > 0
    if count <= limit * total:
        return False
    from scipy import special

    kept = total - count
    above = float(special.betaln(count + 1, kept + 1) + np.log(special.betainc(kept + 1, count + 1, 1 - limit)))
    ratio = above - count * math.log(limit) - (kept + 1) * math.log1p(-limit)
    return ratio >= -math.log(1 - confidence)


def mean_is_above(values: np.ndarray, confidence: float, *, expected: float) -> float | None:
    """The lower bound, at all looks together, of the mean of independent rows [N]; None of fewer than two."""
    if len(values) < 2:
        return None
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(values.mean()) - width(len(values), confidence, expected=expected) * error
