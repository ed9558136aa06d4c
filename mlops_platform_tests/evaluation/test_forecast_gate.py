"""The simple forecasters that a network must beat, and what a gate asks of forecasts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlops_platform.evaluation.bootstrap import drawn_together, paired_difference
from mlops_platform.evaluation.errors import EvaluationError
from mlops_platform.evaluation.forecasts import fit_forecasters
from mlops_platform.evaluation.gate import judge
from mlops_platform.evaluation.slices import slice_metrics
from mlops_platform.evaluation.verdict import Verdict, conditions_of
from mlops_platform.manifest import canonical_json
from mlops_platform.scoring.metrics import measure
from mlops_platform.spec import Binary, Forecast, Gate

TASK = Forecast(horizon=2, step="1h", unit="minutes", persistence=("now", "before"), season=("hour", "place"))
ARRAY = pl.Array(pl.Float32, 2)
TRAIN = pl.DataFrame(
    {
        "now": [1.0, None, 3.0, 4.0], "before": [9.0, 2.0, None, None], "hour": [7, 7, 7, 8],
        "place": ["a", "a", "b", None],
        "label": pl.Series([[1.0, None], [3.0, 10.0], [8.0, 20.0], [None, 40.0]], dtype=ARRAY),
    }
)  # fmt: skip


def test_persistence_answers_the_first_value_that_is_known() -> None:
    found = fit_forecasters(TRAIN, TASK)["persistence"]
    asked = pl.DataFrame({"now": [5.0, None, None], "before": [1.0, 6.0, None]})
    mean = np.nanmean(TRAIN["label"].to_numpy())
    assert found.score(asked).tolist() == pytest.approx(np.array([[5, 5], [6, 6], [mean, mean]]))
    assert found.score(asked).dtype == np.float32


def test_the_season_falls_back_on_fewer_columns_and_then_on_all_rows() -> None:
    found = fit_forecasters(TRAIN, TASK)["season"]
    asked = pl.DataFrame({"hour": [7, 7, 7, 8, 9], "place": ["a", "b", "new", None, "a"]})
    expected = [[2, 10], [8, 20], [4, 15], [4, 40], [4, 70 / 3]]
    assert found.score(asked) == pytest.approx(np.array(expected))


def test_the_order_of_the_train_rows_decides_no_bit() -> None:
    chance = np.random.default_rng(0)
    train = TRAIN.sample(500, with_replacement=True, seed=1).with_columns(
        label=pl.Series(chance.normal(size=(500, 2)).astype(np.float32), dtype=ARRAY)
    )
    one, two = (fit_forecasters(rows, TASK)["season"].score(TRAIN) for rows in (train, train[::-1]))
    assert np.array_equal(one, two)


def test_a_step_of_which_nothing_is_known_is_refused() -> None:
    silent = TRAIN.with_columns(label=pl.lit([1.0, None], dtype=ARRAY))
    with pytest.raises(EvaluationError, match=r"by step \[4, 0\]"):
        fit_forecasters(silent, TASK)


def scores(days: int = 30, **noise: float | None) -> pl.DataFrame:
    """A day's rows share their luck: how far off a model is varies from day to day."""
    chance = np.random.default_rng(0)
    day = np.repeat(np.arange(days), 24)
    label = chance.normal(size=(len(day), 2)) * 10
    frame: dict[str, Any] = {
        "event_timestamp": [datetime(2024, 3, 1, tzinfo=UTC) + timedelta(hours=h) for h in range(len(day))],
        "label": pl.Series(np.where(chance.random(label.shape) < 0.2, np.nan, label), dtype=ARRAY),
    }
    for model in ("challenger", "persistence", "season", "champion"):
        size = noise.get(model)
        luck = chance.random(days)[day, None]
        values = [None] * len(day) if size is None else label + size * luck * chance.normal(size=label.shape)
        frame[model] = pl.Series(values, dtype=ARRAY)
    return pl.DataFrame(frame)


def judged(frame: pl.DataFrame, **gate: Any) -> Verdict:
    labels = frame["label"].to_numpy()
    models = ("challenger", *TASK.baselines, "champion")
    metrics = {m: None if frame[m].null_count() else measure(labels, frame[m].to_numpy()) for m in models}
    report = {
        "metrics": metrics, "champion": "sha256:b" if metrics["champion"] else None, "champion_is_challenger": False,
        "champion_lacks": [], "program_bytes": 1000, "freshness": {"fresh": True, "reason": "fresh"},
    }  # fmt: skip
    slices = pl.DataFrame({"place": ["x", "y"] * (frame.height // 2)})
    verdict = judge(report, frame, Gate(**{"metric": "mae", "resamples": 100, **gate}), task=TASK, slices=slices)
    assert tuple(condition.name for condition in verdict.conditions) == tuple(conditions_of(TASK))
    canonical_json(verdict.to_json())
    return verdict


@pytest.mark.parametrize(
    ("noise", "gate", "failed"),
    [
        ({"challenger": 1.0, "persistence": 3.0, "season": 2.0}, {}, set()),
        ({"challenger": 1.0, "persistence": 3.0, "season": 2.0}, {"metric": "rmse"}, set()),
        ({"challenger": 2.0, "persistence": 3.0, "season": 1.0}, {}, {"better_than_baseline"}),
        ({"challenger": 1.0, "persistence": 3.0, "season": 2.0}, {"baseline_margin": 2.0}, {"better_than_baseline"}),
        ({"challenger": 1.0, "persistence": 3.0, "season": 2.0, "champion": 2.0}, {}, set()),
        ({"challenger": 2.0, "persistence": 4.0, "season": 4.0, "champion": 1.0}, {}, {"better_than_champion"}),
        ({"challenger": 2.0, "persistence": 4.0, "season": 4.0, "champion": 1.0},
         {"slice_margins": {"place": 0.1}, "slice_rows": 10}, {"better_than_champion", "no_slice_worse"}),
    ],
)  # fmt: skip
def test_truth_table(noise: dict[str, float], gate: dict[str, Any], failed: set[str]) -> None:
    verdict = judged(scores(**noise), **gate)
    assert {condition.name for condition in verdict.conditions if not condition.passed} == failed, verdict.reason


def test_forecasts_that_are_no_numbers_or_all_the_same_are_unsound() -> None:
    fine = scores(challenger=1.0, persistence=3.0, season=2.0)
    same = fine.with_columns(challenger=pl.lit([1.0, 1.0], dtype=ARRAY))
    broken = fine.with_columns(challenger=pl.lit([1.0, float("nan")], dtype=ARRAY))
    assert "Every row gets the same score" in judged(same).reason
    assert "720 of 1,440 scores are no finite numbers" in judged(broken).reason


def test_days_are_drawn_whole_since_the_rows_of_one_share_their_luck() -> None:
    frame = scores(challenger=2.0, persistence=2.2, season=3.0)
    groups = drawn_together(frame)
    assert groups is not None and groups.max() == 29
    labels, first, other = (frame[name].to_numpy() for name in ("label", "challenger", "persistence"))
    rows, days = (paired_difference(labels, first, other, metric="mae", groups=each) for each in (None, groups))
    assert days.difference == rows.difference
    assert days.standard_error > 1.5 * rows.standard_error


def test_a_slice_counts_the_labels_that_are_known_and_says_nothing_of_classes() -> None:
    frame = scores(challenger=1.0)
    labels = frame["label"].to_numpy()
    column = pl.Series("place", ["x", "y"] * (frame.height // 2))
    parts = [part.to_json() for part in slice_metrics(column, labels, {"challenger": frame["challenger"].to_numpy()})]
    assert sum(part["known"] for part in parts) == np.isfinite(labels).sum()
    assert all("positives" not in part and set(part["metrics"]["challenger"]) == set(TASK.metrics) for part in parts)


def test_a_binary_classifier_is_asked_what_it_always_was() -> None:
    assert "calibrated" in conditions_of(Binary())
    assert drawn_together(pl.DataFrame({"label": pl.Series([0, 1], dtype=pl.Int8)})) is None
