"""The metrics of forecasts: of what is known alone, by step, and under redrawn rows."""

import numpy as np
import pytest

from mlops_platform.scoring.forecasts import by_step
from mlops_platform.scoring.metrics import measure
from mlops_platform.scoring.resampling import resampled_metric
from mlops_platform.spec import Forecast

NAN = float("nan")
LABELS = np.array([[1.0, NAN], [3.0, 4.0], [NAN, NAN]], dtype=np.float32)
SCORES = np.array([[2.0, 99.0], [0.0, 4.0], [7.0, 7.0]], dtype=np.float32)


def test_what_is_not_known_counts_nowhere() -> None:
    found = measure(LABELS, SCORES)
    assert found == {"mae": pytest.approx(4 / 3), "rmse": pytest.approx((10 / 3) ** 0.5), "bias": pytest.approx(-2 / 3)}
    assert tuple(found) == Forecast.metrics


def test_each_step_has_its_own() -> None:
    first, second = by_step(LABELS, SCORES)
    assert (first.step, first.known, first.mae) == (1, 2, 2.0)
    assert (second.step, second.known, second.rmse) == (2, 1, 0.0)


@pytest.mark.parametrize(
    ("labels", "scores"),
    [(LABELS * NAN, SCORES), (LABELS, np.where(SCORES == 7, NAN, SCORES)), (LABELS[:0], SCORES[:0])],
    ids=["nothing known", "a score that is no number", "no rows"],
)
def test_a_metric_that_is_not_defined_is_none(labels: np.ndarray, scores: np.ndarray) -> None:
    assert set(measure(labels, scores).values()) == {None}


@pytest.mark.parametrize("metric", Forecast.metrics)
def test_a_redrawn_metric_is_that_of_the_redrawn_rows(metric: str) -> None:
    chance = np.random.default_rng(0)
    labels, scores = chance.normal(size=(50, 3)), chance.normal(size=(50, 3))
    labels[chance.random((50, 3)) < 0.3] = NAN
    drawn = chance.integers(0, 50, size=(4, 50))
    counts = np.stack([np.bincount(rows, minlength=50) for rows in drawn]).astype(np.float32)
    expected = [measure(labels[rows], scores[rows])[metric] for rows in drawn]
    assert resampled_metric(metric, labels, scores)(counts) == pytest.approx(expected)
