"""Quality of the live model: the gate's metric on labelled predictions against its own evaluation."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from mlops_platform.errors import PlatformError
from mlops_platform.scoring.metrics import Labels, Scores, measure
from mlops_platform.scoring.resampling import draws, resampled_metric
from mlops_platform.spec import LOWER_IS_BETTER, Monitoring

RESAMPLES = 500
SEED = 0
"""Of the draws: the same answers and labels give the same bits."""
_DEFINED = 0.9
"""Share of the resamples in which the metric must be defined (rows of both classes were drawn)."""


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


def judge(labels: Labels, scores: Scores, *, answers: int, expected: float | None, metric: str,
          asked: Monitoring) -> Quality:  # fmt: skip
    """Judges a live model by the predictions whose labels are known.

    A metric of few rows is noisy, so a value below the limit is not enough: the rows are redrawn with replacement
    (percentile bootstrap), and the model is bad only where even the favourable bound, which the true value stays on the
    wrong side of with the given confidence, is worse than the evaluation's value by more than ``max_drop``. The
    evaluation's value is taken as it stands. Rows are redrawn one by one, as if they were independent: where those of
    one day share their luck, many days say more than many rows.

    Args:
        labels: int8 [N], 0 and 1.
        scores: Probabilities [N].
        answers: How many predictions there are, labelled or not.
        expected: The metric in the evaluation of the same checkpoint.
        metric: One of ``spec.METRICS``.
        asked: The declaration.

    Raises:
        PlatformError: A score is no probability.
    """
    _require_probabilities(scores)
    rows, positives = len(labels), int(np.count_nonzero(labels))
    live = measure(labels, scores)[metric]
    known = f"{rows:,} of {answers:,} predictions have a known label"
    bounds = None
    if rows < asked.min_rows:
        against = f"fewer than the {asked.min_rows:,} that are needed"
    elif positives in (0, rows):
        against = f"and all of these labels are {1 if positives else 0}"
    elif expected is None:
        against = "and no evaluation of this checkpoint tells what to expect"
    elif (bounds := _bounds(labels, scores, metric, asked.confidence)) is None:
        against = f"and {positives:,} of these labels are 1: too one-sided to tell how sure {metric} is"
    if bounds is None or live is None or expected is None:
        reason = f"Not judged: {known}, {against}."
        return Quality(bad=False, reason=reason, metric=metric, live=live, expected=expected)
    bad, reason = _compared(live, bounds, expected, metric, asked, f"{rows:,} labelled predictions")
    return Quality(bad=bad, reason=reason, metric=metric, live=live, expected=expected, **asdict(bounds))


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


def _bounds(labels: Labels, scores: Scores, metric: str, confidence: float) -> Bounds | None:
    """None where over a tenth of the resamples have rows of one class only."""
    measured = resampled_metric(metric, labels, scores)
    drawn = draws(np.random.default_rng(SEED), len(labels), RESAMPLES)
    values = np.concatenate([measured(counts) for counts in drawn])
    values = values[np.isfinite(values)]
    if len(values) < _DEFINED * RESAMPLES:
        return None
    lower, upper = np.quantile(values, [1 - confidence, confidence])
    return Bounds(lower=float(lower), upper=float(upper))


def _require_probabilities(scores: Scores) -> None:
    unsound = int(np.count_nonzero(~(np.isfinite(scores) & (scores >= 0) & (scores <= 1))))
    if unsound:
        raise PlatformError(
            required="scores between 0 and 1 in the prediction log", found=f"{unsound} of {len(scores)} that are not",
            remedy="see the check scores_are_probabilities of the predictions",
        )  # fmt: skip


def by_week(rows: pl.DataFrame, metric: str, calendar: str) -> list[Mapping[str, Any]]:
    """The metric week by week, weeks beginning on Monday in the model's calendar.

    Args:
        rows: ``event_timestamp``, ``score``, ``label``.
        metric: One of ``spec.METRICS``.
        calendar: Time zone.

    Returns:
        ``week``, ``rows``, ``positives`` and ``value``, None in a week in which the metric is not defined.
    """
    week = pl.col("event_timestamp").dt.convert_time_zone(calendar).dt.date().dt.truncate("1w")
    found: list[Mapping[str, Any]] = []
    for (monday,), part in rows.with_columns(week=week).sort("week").group_by("week", maintain_order=True):
        value = measure(part["label"].to_numpy(), part["score"].to_numpy())[metric]
        found.append({"week": f"{monday}", "rows": part.height, "positives": int(part["label"].sum()), "value": value})
    return found
