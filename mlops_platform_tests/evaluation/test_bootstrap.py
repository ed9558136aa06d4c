"""Properties of the paired bootstrap, and its sums against scikit-learn on explicit resamples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_platform.evaluation.bootstrap import paired_difference
from mlops_platform.evaluation.errors import EvaluationError
from mlops_platform.scoring.metrics import measure
from mlops_platform.scoring.resampling import resampled_metric
from mlops_platform.spec import LOWER_IS_BETTER, METRICS

SEEDS = st.integers(0, 2**31)


def _case(seed: int, rows: int, levels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of both classes and two models' scores on few levels, so that they tie."""
    random = np.random.default_rng(seed)
    labels = (random.random(rows) < 0.4).astype(np.int8)
    labels[:2] = 0, 1
    first, other = (random.integers(0, levels + 1, rows) / levels for _ in range(2))
    return labels, first.astype(np.float32), other.astype(np.float32)


@given(seed=SEEDS, rows=st.integers(5, 60), levels=st.integers(1, 50))
@settings(max_examples=20, deadline=None)
def test_sums_over_counts_equal_scikit_learn_on_the_drawn_rows(seed: int, rows: int, levels: int) -> None:
    labels, scores, _ = _case(seed, rows, levels)
    drawn = np.random.default_rng(seed + 1).integers(0, rows, size=(3, rows))
    counts = np.stack([np.bincount(d, minlength=rows) for d in drawn]).astype(np.float32)
    for metric in ("roc_auc", "average_precision", "log_loss", "brier"):
        found = resampled_metric(metric, labels, scores)(counts)
        for value, rows_drawn in zip(found, drawn, strict=True):
            expected = measure(labels[rows_drawn], scores[rows_drawn])[metric]
            if expected is None:
                assert metric == "average_precision" or np.isnan(value)
            else:
                assert value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_difference_on_the_rows_themselves_is_the_metrics_difference(metric: str) -> None:
    labels, first, other = _case(3, 500, 37)
    found = paired_difference(labels, first, other, metric=metric, resamples=100)
    expected = measure(labels, first)[metric] - measure(labels, other)[metric]  # type: ignore[operator]
    assert found.difference == pytest.approx(expected, abs=1e-7)
    assert found.lower <= found.difference <= found.upper or metric == "calibration_error"
    assert found.gain == (-found.difference if metric in LOWER_IS_BETTER else found.difference)
    assert found.gain_lower <= found.gain or metric == "calibration_error"


@given(seed=SEEDS, metric=st.sampled_from(METRICS))
@settings(max_examples=15, deadline=None)
def test_equal_scores_differ_by_nothing(seed: int, metric: str) -> None:
    labels, first, _ = _case(seed, 80, 20)
    found = paired_difference(labels, first, first.copy(), metric=metric, resamples=100, seed=seed)
    assert (found.difference, found.lower, found.upper, found.standard_error) == (0.0, 0.0, 0.0, 0.0)


@given(seed=SEEDS, metric=st.sampled_from(METRICS))
@settings(max_examples=15, deadline=None)
def test_swapping_the_models_swaps_the_sign(seed: int, metric: str) -> None:
    labels, first, other = _case(seed, 80, 20)
    there = paired_difference(labels, first, other, metric=metric, resamples=100, seed=7)
    back = paired_difference(labels, other, first, metric=metric, resamples=100, seed=7)
    assert there.difference == -back.difference
    assert there.lower == pytest.approx(-back.upper, abs=1e-12)
    assert there.standard_error == pytest.approx(back.standard_error)


def test_same_arguments_give_the_same_bits_and_another_seed_others() -> None:
    labels, first, other = _case(1, 400, 100)
    made = [paired_difference(labels, first, other, metric="roc_auc", resamples=100, seed=s) for s in (0, 0, 1)]
    assert made[0] == made[1] and made[0].lower != made[2].lower


def test_bounds_hold_as_often_as_they_say() -> None:
    """Two models of equally strong noise: the true difference is 0, and each one-sided 0.9 bound misses a tenth."""
    missed_below = missed_above = 0
    rounds = 200
    for seed in range(rounds):
        random = np.random.default_rng(seed)
        labels = (random.random(300) < 0.4).astype(np.int8)
        first, other = (1 / (1 + np.exp(-(labels + random.normal(size=300)))) for _ in range(2))
        found = paired_difference(labels, first, other, metric="roc_auc", resamples=200, confidence=0.9, seed=seed)
        missed_below += found.lower > 0
        missed_above += found.upper < 0
    for missed in (missed_below, missed_above):
        assert 0.04 <= missed / rounds <= 0.17


def test_standard_error_agrees_with_delong() -> None:
    random = np.random.default_rng(5)
    labels = (random.random(2000) < 0.3).astype(np.int8)
    shared = labels + random.normal(size=2000)
    first, other = (1 / (1 + np.exp(-(shared + 0.5 * random.normal(size=2000)))) for _ in range(2))
    found = paired_difference(labels, first, other, metric="roc_auc", resamples=500)
    assert found.standard_error == pytest.approx(_delong(labels, first, other), rel=0.1)


def _delong(labels: np.ndarray, first: np.ndarray, other: np.ndarray) -> float:
    """Standard error of the difference of two paired areas: structural components of the Mann-Whitney statistic."""
    positive, negative = labels == 1, labels == 0
    by_positive, by_negative = [], []
    for scores in (first, other):
        wins = scores[positive][:, None] > scores[negative][None, :]
        by_positive.append(wins.mean(axis=1))
        by_negative.append(wins.mean(axis=0))
    variance = sum(np.var(a - b, ddof=1) / len(a) for a, b in (by_positive, by_negative))
    return float(np.sqrt(variance))


def test_class_too_rare_to_resample_is_refused() -> None:
    labels = np.array([1] + [0] * 50, dtype=np.int8)
    with pytest.raises(EvaluationError, match="51 rows, 1 of them positive"):
        paired_difference(labels, np.linspace(0, 1, 51), np.full(51, 0.5), metric="roc_auc")
