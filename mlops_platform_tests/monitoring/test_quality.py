"""The verdict on what is live: planted decay is found, noise and missing labels are not taken for it."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from mlops_platform.errors import PlatformError
from mlops_platform.monitoring.quality import Quality, by_week, calendar_days, judge, recent
from mlops_platform.scoring.metrics import measure
from mlops_platform.spec import METRICS, Monitoring

T = datetime(2024, 3, 1, 12, tzinfo=UTC)


def frame(labels: np.ndarray, scores: np.ndarray, day: np.ndarray) -> pl.DataFrame:
    """Labelled predictions, by time."""
    times = pl.Series([T + timedelta(days=int(number)) for number in day], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame({"event_timestamp": times, "score": scores, "label": labels}).sort("event_timestamp")


def case(rows: int, signal: float, seed: int = 0, *, days: int = 28, luck: float = 0.0) -> pl.DataFrame:
    """Labels, and calibrated scores that tell so much of them; by the luck of a day they tell more or less."""
    random = np.random.default_rng(seed)
    day = np.arange(rows) % days
    cause = random.normal(size=rows)
    tells = (signal + luck * random.normal(size=days))[day]
    labels = (random.random(rows) < 1 / (1 + np.exp(-tells * cause))).astype(np.int8)
    return frame(labels, (1 / (1 + np.exp(-signal * cause))).astype(np.float32), day)


def shuffled(rows: pl.DataFrame, every: int = 1) -> pl.DataFrame:
    """Planted decay: the scores of every n-th row are dealt anew among these rows."""
    scores = rows["score"].to_numpy().copy()
    scores[::every] = np.random.default_rng(1).permutation(scores[::every])
    return rows.with_columns(score=pl.Series(scores))


def true_auc(rows: pl.DataFrame) -> float:
    """Of so many rows that chance is out of it."""
    value = measure(rows["label"].to_numpy(), rows["score"].to_numpy())["roc_auc"]
    assert value is not None
    return value


def judged(rows: pl.DataFrame, expected: float | None, metric: str = "roc_auc", **asked: float | str | None) -> Quality:
    declared = Monitoring(**asked)  # type: ignore[arg-type]
    return judge(recent(rows, declared.window), calendar="UTC", labelled=rows.height, answers=rows.height + 5,
                 expected=expected, metric=metric, asked=declared)  # fmt: skip


def test_what_is_as_good_as_its_evaluation_is_not_bad() -> None:
    found = judged(case(2000, 2.0), expected=0.85)
    assert not found.bad and found.lower is not None and found.upper is not None and found.live is not None
    assert found.lower < found.live < found.upper
    assert "on 2,000 labelled predictions of 28 days, " in found.reason
    assert "is not shown to be worse than the evaluation's 0.8500" in found.reason


@pytest.mark.parametrize(("metric", "expected"), [("roc_auc", 0.85), ("log_loss", 0.4), ("brier", 0.12)])
def test_planted_decay_is_bad_whichever_way_the_metric_points(metric: str, expected: float) -> None:
    rows = case(2000, 2.0)
    found = judged(shuffled(rows), expected, metric)
    assert found.bad, found.reason
    assert "2,000 labelled predictions" in found.reason and f"the evaluation's {expected:.4f}" in found.reason
    assert not judged(rows, expected + (0.0 if metric == "roc_auc" else 0.1), metric).bad


def test_the_bound_has_to_be_worse_and_not_only_the_value() -> None:
    """The same value is bad on many rows and may be chance on few."""
    many, few = case(20_000, 1.0), case(150, 1.0, seed=4)
    value = true_auc(many)
    found = [judged(rows, expected=value + 0.07, min_rows=100) for rows in (many, few)]
    assert [each.bad for each in found] == [True, False]
    assert found[1].live is not None and found[1].live < value + 0.02


def test_noise_alone_is_seldom_taken_for_decay() -> None:
    """With no drop allowed, one side of the interval is missed about as often as the confidence says."""
    expected = true_auc(case(200_000, 1.5))
    found = [judged(case(500, 1.5, seed), expected, max_drop=0.0) for seed in range(1, 61)]
    assert sum(each.bad for each in found) <= 9
    assert all(each.upper is not None and each.upper > expected - 0.05 for each in found)


def test_the_luck_of_single_days_is_seldom_taken_for_decay() -> None:
    """Rows of one day rise and fall together: redrawn one by one, 14 of these 30 would be called bad."""
    expected = true_auc(case(200_000, 1.5, days=2_000, luck=1.0))
    found = [judged(case(2_800, 1.5, seed, luck=1.0), expected, max_drop=0.0) for seed in range(1, 31)]
    assert sum(each.bad for each in found) <= 3
    assert all(each.upper is not None and each.live is not None and each.upper > each.live for each in found)


def calibrated(seed: int, *, too_high: float = 0.0) -> pl.DataFrame:
    """Scores that are the true probabilities, or above them."""
    random = np.random.default_rng(seed)
    scores = random.uniform(0.05, 0.95, 500)
    labels = (random.random(500) < np.clip(scores - too_high, 0, 1)).astype(np.int8)
    return frame(labels, scores.astype(np.float32), np.arange(500) % 28)


def test_perfect_calibration_is_seldom_called_bad() -> None:
    """Noise only adds to a calibration error: bounds that are quantiles of redrawn ones call all of these 30 bad."""
    found = [judged(calibrated(seed), 0.005, "calibration_error", max_drop=0.02) for seed in range(30)]
    assert sum(each.bad for each in found) <= 3
    assert all(each.lower is not None and each.live is not None and 0 <= each.lower < each.live for each in found)
    worse = [judged(calibrated(s, too_high=0.15), 0.005, "calibration_error", max_drop=0.02) for s in range(10)]
    assert sum(each.bad for each in worse) >= 9


def test_days_are_drawn_whole() -> None:
    """Days of equal rows cannot differ, however they are drawn; the same rows on unequal days can."""
    one = case(100, 1.0)
    labels, scores = one["label"].to_numpy(), one["score"].to_numpy()
    day = np.repeat(np.arange(8), 100)
    found = judged(frame(np.tile(labels, 8), np.tile(scores, 8), day), 0.5)
    assert found.lower == found.upper == pytest.approx(found.live)
    found = judged(frame(np.tile(labels, 8), np.tile(scores, 8), np.arange(800) // 90), 0.5)
    assert found.lower is not None and found.upper is not None and found.lower < found.upper


def test_few_rows_are_not_judged_and_it_is_said() -> None:
    rows = case(499, 2.0).with_columns(score=1 - pl.col("score"))
    found = judged(rows, expected=0.85)
    assert not found.bad and found.live is not None and found.live < 0.2 and found.upper is None
    assert found.reason == "Not judged: 499 of 504 predictions have a known label, fewer than the 500 that are needed."


@pytest.mark.parametrize(("days", "said"), [(1, "of 1 day only"), (6, "of 6 days only")])
def test_few_days_are_not_judged_however_many_rows_they_have(days: int, said: str) -> None:
    rows = shuffled(case(7_000, 2.0, days=days))
    found = judged(rows, expected=0.85)
    assert not found.bad and found.live is not None and found.live < 0.6 and found.upper is None
    known = "Not judged: 7,000 of 7,005 predictions have a known label"
    assert found.reason == f"{known}, {said}, and 7 are needed."
    assert judged(rows, expected=0.85, min_days=2).bad == (days >= 2)


def test_only_the_newest_window_is_judged() -> None:
    """Good months that went before neither hide a drop nor make up for days that lack."""
    good, bad = case(60_000, 2.0, days=150), shuffled(case(4_000, 2.0, days=20))
    later = bad.with_columns(pl.col("event_timestamp") + timedelta(days=150))
    rows = pl.concat([good, later])
    assert judged(rows, 0.85, window="20d").bad and not judged(rows, 0.85, window=None).bad
    assert judged(rows, 0.85, window="20d").live == judged(later, 0.85).live
    assert (
        recent(rows, "20d").equals(later) and recent(rows, None).equals(rows) and recent(rows.clear(), "20d").is_empty()
    )
    found = judged(rows, 0.85, window="2d", min_days=2, min_rows=401)
    assert "64,000 of 64,005 predictions have a known label, 400 of them in the newest 2d, fewer" in found.reason


def test_none_labelled_is_not_judged() -> None:
    found = judged(case(10, 1.0).clear(), expected=0.85)
    assert (found.bad, found.live) == (False, None) and "0 of 5 predictions have a known label" in found.reason


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_not_judged(label: int) -> None:
    found = judged(case(600, 1.0).with_columns(label=pl.lit(label, dtype=pl.Int8)), expected=0.85)
    assert not found.bad and f"all of these labels are {label}" in found.reason


def test_a_class_too_rare_to_redraw_is_not_judged() -> None:
    rows = case(600, 1.0).with_row_index().with_columns(label=(pl.col("index") == 0).cast(pl.Int8))
    found = judged(rows, expected=0.99)
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


def test_days_are_those_of_the_calendar_of_the_model() -> None:
    # In New York it is still March 9, before the clocks change.
    times = pl.Series(["2024-03-10T03:00", "2024-03-10T06:00"]).str.to_datetime(time_unit="us", time_zone="UTC")
    rows = pl.DataFrame({"event_timestamp": times})
    assert [f"{day}" for day in calendar_days(rows, "America/New_York")] == ["2024-03-09", "2024-03-10"]
    assert [f"{day}" for day in calendar_days(rows, "UTC")] == ["2024-03-10", "2024-03-10"]


@pytest.mark.parametrize("score", [float("nan"), 1.5, -0.1])
def test_scores_that_are_no_probabilities_are_refused(score: float) -> None:
    rows = case(600, 1.0)
    scores = rows["score"].to_numpy().copy()
    scores[3] = score
    with pytest.raises(PlatformError, match="1 of 600"):
        judged(rows.with_columns(score=pl.Series(scores)), expected=0.85)


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


def forecasts(days: int, error: float) -> pl.DataFrame:
    """Labelled forecasts of two steps, of which the second is known half the time."""
    random = np.random.default_rng(0)
    day = np.repeat(np.arange(days), 24)
    label = random.normal(size=(len(day), 2)) * 10
    label[::2, 1] = np.nan
    scores = np.nan_to_num(label) + error * random.normal(size=label.shape)
    numbers = pl.Array(pl.Float32, 2)
    frame = pl.DataFrame(
        {
            "event_timestamp": [T + timedelta(hours=hour) for hour in range(len(day))],
            "score": pl.Series(scores, dtype=numbers),
            "label": pl.Series(label, dtype=numbers),
        }
    )
    return frame.with_columns(pl.col("event_timestamp").cast(pl.Datetime("us", "UTC")))


@pytest.mark.parametrize(("error", "bad"), [(1.0, False), (3.0, True)])
def test_a_forecast_is_bad_once_its_error_is_shown_to_have_grown(error: float, bad: bool) -> None:
    found = judged(forecasts(20, error), expected=0.8, metric="mae", max_drop=0.5, min_rows=100)
    assert found.bad is bad
    assert "mae" in found.reason and found.lower is not None and found.upper is not None
    assert by_week(forecasts(20, error), "mae", "UTC")[0]["known"] > 0


def test_a_forecast_of_which_nothing_is_known_is_not_judged_and_one_that_is_no_number_is_refused() -> None:
    rows = forecasts(20, 1.0)
    unknown = rows.with_columns(label=pl.lit([None, None], dtype=pl.Array(pl.Float32, 2)))
    assert "unknown at every step" in judged(unknown, expected=0.8, metric="mae", min_rows=10).reason
    broken = rows.with_columns(score=pl.lit([1.0, float("nan")], dtype=pl.Array(pl.Float32, 2)))
    with pytest.raises(PlatformError, match="scores_are_finite"):
        judged(broken, expected=0.8, metric="mae")
