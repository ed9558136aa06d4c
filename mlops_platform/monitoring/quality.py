"""Quality of the live model: the gate's metric on labelled predictions against its own evaluation.

How often the verdict is wrong was measured on ten models of the flights project, one for each month from March to
December 2013 as its holdout: spans of each holdout were judged by ROC AUC against the evaluation on all of that month,
as they are, and with the scores of every n-th row shuffled (spans that begin a week apart). How many were called bad,
with rows redrawn one by one and with days redrawn whole:

    span     what                       drop on average   of   rows   days
    1 day    as it is                                    304     99      0   not judged: fewer than ``min_days``
    7 days   as it is                                    244     19     14   12 of the 14 in September
    14 days  as it is                                    174      4      4   all in September
    7 days   as it is, ``max_drop=0``                    244     96     40
    14 days  as it is, ``max_drop=0``                    174     57     15
    7 days   every 2nd row shuffled               0.115   40     39     37
    14 days  every 2nd row shuffled               0.111   30     29     29
    28 days  every 2nd row shuffled               0.112   10     10     10
    28 days  every 3rd row shuffled               0.073   10      9      4
    28 days  every 4th row shuffled               0.053   10      5      0

So single days are not mistaken any more. What is left is that days follow each other: with no drop allowed, spans of
some days are still called bad more often than one in twenty times. A drop is found once it exceeds ``max_drop`` by more
than the luck of days explains: over four weeks one of 0.07 in four of ten months, and one of 0.11 in all. Where all of
14 days were shuffled after two good months, ``window="28d"`` found it in nine of nine months, and no window in none.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from mlops_platform.errors import PlatformError
from mlops_platform.scoring.metrics import Labels, Scores, measure
from mlops_platform.scoring.resampling import group_draws, resampled_metric
from mlops_platform.spec import LOWER_IS_BETTER, Monitoring, duration

RESAMPLES = 500
SEED = 0
"""Of the draws: the same answers and labels give the same bits."""
_DEFINED = 0.9
"""Share of the resamples in which the metric must be defined (rows of both classes were drawn)."""
_BIASED = frozenset({"calibration_error"})
"""Metrics that redrawn rows overstate."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """One-sided bounds of a metric: its true value lies above ``lower`` with the given confidence, and below ``upper``
    with the same.
    """

    lower: float
    upper: float


@dataclass(frozen=True, kw_only=True)
class Quality:
    """The finding.

    Attributes:
        bad: Whether the live model is shown to be worse than its evaluation by more than is allowed.
        reason: Why, or why it was not judged, in words and numbers.
        metric: The metric that decides.
        live: Its value on the labelled predictions; None where it is not defined for them.
        expected: Its value in the evaluation; None where there is none.
        lower, upper: ``Bounds`` of ``live``; None where it was not judged.
    """

    bad: bool
    reason: str
    metric: str
    live: float | None
    expected: float | None
    lower: float | None = None
    upper: float | None = None


def judge(rows: pl.DataFrame, *, calendar: str, labelled: int, answers: int, expected: float | None, metric: str,
          asked: Monitoring) -> Quality:  # fmt: skip
    """Judges a live model by the predictions whose labels are known.

    A metric of few rows is noisy, so a value below the limit is not enough: the rows are redrawn with replacement
    (bootstrap), and the model is bad only where even the favourable bound, which the true value stays on the wrong side
    of with the given confidence, is worse than the evaluation's value by more than ``max_drop``. The evaluation's value
    is taken as it stands.

    The bounds are quantiles of the redrawn values (percentile bootstrap), but for ``calibration_error``. That one sums
    the sizes of gaps, so that noise only ever adds to it: the redrawn values have their noise on top of that of the
    rows, and their quantiles lie too high by it. Its bounds are those of the basic bootstrap (Davison and Hinkley,
    Bootstrap Methods and their Application, 1997, section 5.2), which takes that much off the rows' own value.

    Whole calendar days are redrawn, each with all of its rows, since the rows of one day share their luck, say the
    weather: redrawn one by one they would seem to say more than they do. That is the cluster bootstrap (Field and
    Welsh, "Bootstrapping clustered data", Journal of the Royal Statistical Society B 69, 2007). Of few clusters it says
    too much (Cameron, Gelbach and Miller, "Bootstrap-based improvements for inference with clustered errors", Review of
    Economics and Statistics 90, 2008): hence ``min_days``.

    Args:
        rows: ``event_timestamp``, ``score`` and ``label`` of what is judged, as ``recent`` leaves them.
        calendar: Time zone of the days.
        labelled: How many predictions have a known label, judged or not.
        answers: How many predictions there are, labelled or not.
        expected: The metric in the evaluation of the same checkpoint.
        metric: One of the task's.
        asked: The declaration.

    Raises:
        PlatformError: A score is no probability, or of a forecast no finite number.
    """
    labels, scores = rows["label"].to_numpy(), rows["score"].to_numpy()
    _require_sound(scores)
    one_sided, day = _one_sided(labels), calendar_days(rows, calendar)
    live, days = measure(labels, scores)[metric], day.n_unique()
    bounds = None
    if rows.height < asked.min_rows:
        against = f"fewer than the {asked.min_rows:,} that are needed"
    elif days < asked.min_days:
        against = f"of {_days(days)} only, and {asked.min_days} are needed"
    elif one_sided is not None:
        against = f"and all of these labels are {one_sided}"
    elif expected is None:
        against = "and no evaluation of this checkpoint tells what to expect"
    elif live is None or (bounds := _bounds(labels, scores, day, metric, live, asked.confidence)) is None:
        against = f"and {_few(labels)}: too one-sided to tell how sure {metric} is"
    if bounds is None or live is None or expected is None:
        known = f"{labelled:,} of {answers:,} predictions have a known label"
        newest = f", {rows.height:,} of them in the newest {asked.window}" if rows.height < labelled else ""
        reason = f"Not judged: {known}{newest}, {against}."
        return Quality(bad=False, reason=reason, metric=metric, live=live, expected=expected)
    judged = f"{rows.height:,} labelled predictions of {_days(days)}"
    bad, reason = _compared(live, bounds, expected, metric, asked, judged)
    return Quality(bad=bad, reason=reason, metric=metric, live=live, expected=expected, **asdict(bounds))


def recent(rows: pl.DataFrame, window: str | None) -> pl.DataFrame:
    """The rows of the newest span, back from the newest row and without what is exactly that old; None: all."""
    if window is None:
        return rows
    return rows.filter(pl.col("event_timestamp") > pl.col("event_timestamp").max() - duration(window))


def calendar_days(rows: pl.DataFrame, calendar: str) -> pl.Series:
    """The day of each row in a time zone."""
    return rows["event_timestamp"].dt.convert_time_zone(calendar).dt.date()


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count:,} days"


def _compared(live: float, bounds: Bounds, expected: float, metric: str, asked: Monitoring,
              rows: str) -> tuple[bool, str]:  # fmt: skip
    lower_is_better = metric in LOWER_IS_BETTER
    best = bounds.lower if lower_is_better else bounds.upper
    drop = best - expected if lower_is_better else expected - best
    bad = drop > asked.max_drop
    said = "is worse" if bad else "is not shown to be worse"
    bound = f"with {asked.confidence:.0%} confidence {'at least' if lower_is_better else 'at most'} {best:.4f}"
    return bad, (
        f"{metric} {live:.4f} on {rows}, {bound}, {said} than the evaluation's {expected:.4f} by more than "
        f"{asked.max_drop:.4f}."
    )


def _bounds(labels: Labels, scores: Scores, day: pl.Series, metric: str, live: float,
            confidence: float) -> Bounds | None:  # fmt: skip
    """None where over a tenth of the resamples have rows of one class only."""
    measured = resampled_metric(metric, labels, scores)
    _, groups = np.unique(day.to_physical().to_numpy(), return_inverse=True)
    drawn = group_draws(np.random.default_rng(SEED), groups, RESAMPLES)
    values = np.concatenate([measured(counts) for counts in drawn])
    values = values[np.isfinite(values)]
    if len(values) < _DEFINED * RESAMPLES:
        return None
    lower, upper = (float(value) for value in np.quantile(values, [1 - confidence, confidence]))
    if metric in _BIASED:
        # Mirrored at the rows' own value, which takes the bias off; a calibration error is never below 0.
        return Bounds(lower=max(0.0, 2 * live - upper), upper=max(0.0, 2 * live - lower))
    return Bounds(lower=lower, upper=upper)


def _one_sided(labels: Labels) -> str | None:
    """What all labels are, where they are all one thing, so that nothing can be told of the scores."""
    if labels.ndim == 2:
        return None if np.isfinite(labels).any() else "unknown at every step"
    positives = int(np.count_nonzero(labels))
    return None if 0 < positives < len(labels) else "1" if positives else "0"


def _few(labels: Labels) -> str:
    if labels.ndim == 2:
        return f"{int(np.isfinite(labels).sum()):,} of their steps are known"
    return f"{int(np.count_nonzero(labels)):,} of these labels are 1"


def _require_sound(scores: Scores) -> None:
    finite, forecast = np.isfinite(scores), scores.ndim == 2
    check = "scores_are_finite" if forecast else "scores_are_probabilities"
    unsound = int(np.count_nonzero(~(finite if forecast else finite & (scores >= 0) & (scores <= 1))))
    if unsound:
        raise PlatformError(
            required=f"{'finite scores' if forecast else 'scores between 0 and 1'} in the prediction log",
            found=f"{unsound} of {scores.size} that are not",
            remedy=f"see the check {check} of the predictions",
        )  # fmt: skip


def by_week(rows: pl.DataFrame, metric: str, calendar: str) -> list[Mapping[str, Any]]:
    """The metric week by week, weeks beginning on Monday in the model's calendar.

    Args:
        rows: ``event_timestamp``, ``score``, ``label``.
        metric: One of the task's.
        calendar: Time zone.

    Returns:
        ``week``, ``rows``, ``positives`` (of forecasts ``known``, labels at all steps) and ``value``, None in a week in
        which the metric is not defined.
    """
    week = calendar_days(rows, calendar).dt.truncate("1w")
    found: list[Mapping[str, Any]] = []
    for (monday,), part in rows.with_columns(week=week).sort("week").group_by("week", maintain_order=True):
        labels = part["label"].to_numpy()
        value = measure(labels, part["score"].to_numpy())[metric]
        told = {"positives": int(labels.sum())} if labels.ndim == 1 else {"known": int(np.isfinite(labels).sum())}
        found.append({"week": f"{monday}", "rows": part.height, **told, "value": value})
    return found
