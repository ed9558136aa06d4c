"""Metrics against scikit-learn and against cases worked by hand."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from mlops_platform.scoring.metrics import (
    calibration_error,
    calibration_table,
    log_loss,
    measure,
)
from mlops_platform.spec import METRICS

LABELS = np.array([0, 0, 1, 1, 0, 1], dtype=np.int8)
SCORES = np.array([0.1, 0.4, 0.4, 0.8, 0.2, 0.9], dtype=np.float32)


def test_every_declared_metric_is_measured_as_scikit_learn_does() -> None:
    found = measure(LABELS, SCORES)
    assert tuple(found) == METRICS
    assert found["roc_auc"] == pytest.approx(8.5 / 9)
    assert found["average_precision"] == pytest.approx(sklearn_metrics.average_precision_score(LABELS, SCORES))
    assert found["brier"] == pytest.approx(np.mean((SCORES - LABELS) ** 2))
    assert found["log_loss"] == pytest.approx(sklearn_metrics.log_loss(LABELS, SCORES))


def test_calibration_error_by_hand() -> None:
    labels = np.array([0, 1, 1, 1], dtype=np.int8)
    scores = np.array([0.2, 0.2, 0.6, 0.6])
    # Two bins of two rows: |0.5 - 0.2| and |1 - 0.6|, of equal weight.
    assert calibration_error(labels, scores, bins=2) == pytest.approx(0.35)
    table = calibration_table(labels, scores, bins=2)
    assert [(b.rows, b.mean_score, b.positive_rate) for b in table] == [(2, 0.2, 0.5), (2, 0.6, 1.0)]


def test_constant_score_is_one_bin_and_bins_hold_equal_rows() -> None:
    labels = np.arange(1000) % 4 == 0
    assert calibration_error(labels.astype(np.int8), np.full(1000, 0.25)) == pytest.approx(0, abs=1e-12)
    spread = calibration_table(labels.astype(np.int8), np.linspace(0, 1, 1000), bins=10)
    assert [b.rows for b in spread] == [100] * 10


@pytest.mark.parametrize(
    ("scores", "known"),
    [
        (np.array([0.1, np.nan, 0.5, 0.2, 0.3, 0.4]), set()),
        (np.array([0.1, np.inf, 0.5, 0.2, 0.3, 0.4]), set()),
        (np.array([-2.0, 1.5, 0.5, 0.2, 0.3, 0.4]), {"roc_auc", "average_precision"}),
    ],
)
def test_what_is_not_defined_is_none(scores: np.ndarray, known: set[str]) -> None:
    assert {name for name, value in measure(LABELS, scores).items() if value is not None} == known


def test_certain_and_wrong_score_gives_a_finite_loss() -> None:
    assert np.isfinite(log_loss(np.array([0, 1], dtype=np.int8), np.array([1.0, 0.0], dtype=np.float32)))
