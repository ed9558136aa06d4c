"""The verdict on what is live: planted decay is found, noise and missing labels are not taken for it."""

import numpy as np
import polars as pl
import pytest

from mlops_platform.errors import PlatformError
from mlops_platform.monitoring.quality import Quality, by_week, judge
from mlops_platform.spec import METRICS, Monitoring

Case = tuple[np.ndarray, np.ndarray]


def case(rows: int, signal: float, seed: int = 0) -> Case:
    """Labels, and calibrated scores that tell so much of them."""
    random = np.random.default_rng(seed)
    scores = 1 / (1 + np.exp(-signal * random.normal(size=rows)))
    return (random.random(rows) < scores).astype(np.int8), scores.astype(np.float32)


def judged(found: Case, expected: float | None, metric: str = "roc_auc", **asked: float) -> Quality:
    labels, scores = found
    return judge(labels, scores, answers=len(labels) + 5, expected=expected, metric=metric,
                 asked=Monitoring(**asked))  # type: ignore[arg-type]  # fmt: skip


def test_what_is_as_good_as_its_evaluation_is_not_bad() -> None:
    found = judged(case(2000, 2.0), expected=0.85)
    assert not found.bad and found.lower is not None and found.upper is not None and found.live is not None
    assert found.lower < found.live < found.upper
    assert "is not shown to be worse than the evaluation's 0.8500" in found.reason


@pytest.mark.parametrize(("metric", "expected"), [("roc_auc", 0.85), ("log_loss", 0.4), ("brier", 0.12)])
def test_planted_decay_is_bad_whichever_way_the_metric_points(metric: str, expected: float) -> None:
    labels, scores = case(2000, 2.0)
    shuffled = np.random.default_rng(1).permutation(scores)
    found = judged((labels, shuffled), expected=expected, metric=metric)
    assert found.bad, found.reason
    assert "2,000 labelled predictions" in found.reason and f"the evaluation's {expected:.4f}" in found.reason
    assert not judged((labels, scores), expected=expected + (0.0 if metric == "roc_auc" else 0.1), metric=metric).bad


def test_the_bound_has_to_be_worse_and_not_only_the_value() -> None:
    """The same value is bad on many rows and may be chance on few."""
    labels, scores = case(40_000, 1.0)
    value = judged((labels, scores), expected=0.9).live
    assert value is not None
    many, few = (
        judged((labels[750 : 750 + n], scores[750 : 750 + n]), expected=value + 0.07, min_rows=100)
        for n in (39_000, 150)
    )
    assert many.bad and not few.bad
    assert few.live is not None and few.live < value + 0.02


def test_noise_alone_is_seldom_taken_for_decay() -> None:
    """With no drop allowed, one side of the interval is missed about as often as the confidence says."""
    expected = judged(case(200_000, 1.5), expected=0.5).live
    found = [judged(case(500, 1.5, seed), expected=expected, max_drop=0.0) for seed in range(1, 61)]
    assert expected is not None and sum(each.bad for each in found) <= 9
    assert all(each.upper is not None and each.upper > expected - 0.05 for each in found)


def test_few_rows_are_not_judged_and_it_is_said() -> None:
    labels, scores = case(499, 2.0)
    found = judged((labels, 1 - scores), expected=0.85)
    assert not found.bad and found.live is not None and found.live < 0.2 and found.upper is None
    assert found.reason == "Not judged: 499 of 504 predictions have a known label, fewer than the 500 that are needed."


def test_none_labelled_is_not_judged() -> None:
    found = judged((np.array([], dtype=np.int8), np.array([], dtype=np.float32)), expected=0.85)
    assert (found.bad, found.live) == (False, None) and "0 of 5 predictions have a known label" in found.reason


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_not_judged(label: int) -> None:
    found = judged((np.full(600, label, dtype=np.int8), case(600, 1.0)[1]), expected=0.85)
    assert not found.bad and f"all of these labels are {label}" in found.reason


def test_a_class_too_rare_to_redraw_is_not_judged() -> None:
    labels, scores = case(600, 1.0)
    labels = np.zeros_like(labels)
    labels[0] = 1
    found = judged((labels, scores), expected=0.99)
    assert not found.bad and "too one-sided" in found.reason


def test_without_an_evaluation_nothing_is_expected() -> None:
    found = judged(case(600, 1.0), expected=None)
    assert not found.bad and "no evaluation of this checkpoint" in found.reason


def test_the_same_rows_give_the_same_bits() -> None:
    assert judged(case(700, 1.0), 0.7) == judged(case(700, 1.0), 0.7)


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_has_bounds(metric: str) -> None:
    found = judged(case(700, 1.0), 0.5, metric=metric)
    assert found.lower is not None and found.upper is not None and found.lower < found.upper


@pytest.mark.parametrize("score", [float("nan"), 1.5, -0.1])
def test_scores_that_are_no_probabilities_are_refused(score: float) -> None:
    labels, scores = case(600, 1.0)
    scores[3] = score
    with pytest.raises(PlatformError, match="1 of 600"):
        judged((labels, scores), expected=0.85)


def test_weeks_begin_on_monday_in_the_calendar_of_the_model() -> None:
    # In New York it is still Sunday, 2024-03-03.
    times = ["2024-03-04T03:00", "2024-03-04T06:00", "2024-03-05T06:00", "2024-03-05T07:00"]
    rows = pl.DataFrame({
        "event_timestamp": pl.Series(times).str.to_datetime(time_unit="us", time_zone="UTC"),
        "score": pl.Series([0.9, 0.2, 0.8, 0.8], dtype=pl.Float32), "label": pl.Series([1, 0, 1, 0], dtype=pl.Int8),
    })  # fmt: skip
    assert by_week(rows, "roc_auc", "America/New_York") == [
        {"week": "2024-02-26", "rows": 1, "positives": 1, "value": None},
        {"week": "2024-03-04", "rows": 3, "positives": 1, "value": 0.75},
    ]
    assert [week["rows"] for week in by_week(rows, "roc_auc", "UTC")] == [4]
    assert by_week(rows.clear(), "roc_auc", "UTC") == []
