"""The gate's truth table, without Dagster and without a model."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlops_platform.evaluation.freshness import Freshness
from mlops_platform.evaluation.gate import judge
from mlops_platform.evaluation.verdict import CONDITIONS, Verdict
from mlops_platform.manifest import canonical_json
from mlops_platform.scoring.metrics import measure
from mlops_platform.spec import METRICS, Gate

ROWS = 3000
BEST, GOOD, POOR = 0.2, 0.8, 3.0
"""Noise in the log odds: more noise, a worse model."""


def _scores(seed: int, **noise: float) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    odds = random.normal(size=ROWS) * 2 - 1
    labels = (random.random(ROWS) < 1 / (1 + np.exp(-odds))).astype(np.int8)
    frame = pl.DataFrame({"label": labels})
    for model in ("challenger", "baseline", "champion"):
        size = noise.get(model)
        values = [None] * ROWS if size is None else 1 / (1 + np.exp(-(odds + size * random.normal(size=ROWS))))
        frame = frame.with_columns(pl.Series(model, values, dtype=pl.Float32))
    return frame


def _report(scores: pl.DataFrame, *, fresh: bool = True, same: bool = False) -> dict[str, Any]:
    labels = scores["label"].to_numpy()
    metrics = {
        model: None if scores[model].null_count() else measure(labels, scores[model].to_numpy())
        for model in ("challenger", "baseline", "champion")
    }
    champion = None if metrics["champion"] is None and fresh else "sha256:b"
    return {
        "metrics": metrics, "champion": champion, "champion_is_challenger": same, "champion_lacks": [],
        "program_bytes": 2_000_000,
        "freshness": {"fresh": fresh, "reason": "fresh" if fresh else "The champion learned from it."},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("noise", "gate", "failed"),
    [
        ({"challenger": BEST, "baseline": POOR}, {}, set()),
        ({"challenger": BEST, "baseline": POOR, "champion": GOOD}, {}, set()),
        ({"challenger": POOR, "baseline": BEST}, {"max_calibration_error": 1.0}, {"better_than_baseline"}),
        ({"challenger": BEST, "baseline": POOR}, {"baseline_margin": 0.9}, {"better_than_baseline"}),
        ({"challenger": BEST, "baseline": POOR}, {"max_calibration_error": 0.0}, {"calibrated"}),
        ({"challenger": GOOD, "baseline": POOR, "champion": BEST}, {}, {"better_than_champion"}),
        ({"challenger": GOOD, "baseline": POOR, "champion": GOOD}, {}, {"better_than_champion"}),
        ({"challenger": BEST, "baseline": POOR}, {"max_megabytes": 1.9}, {"small_enough"}),
        ({"challenger": BEST, "baseline": POOR}, {"max_megabytes": 2.0, "max_milliseconds": 3.0}, set()),
        ({"challenger": BEST, "baseline": POOR}, {"max_milliseconds": 2.9}, {"fast_enough"}),
        ({"challenger": BEST, "baseline": POOR, "champion": GOOD}, {"champion_margin": 0.5}, {"better_than_champion"}),
    ],
)
@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_truth_table(noise: dict[str, float], gate: dict[str, float], failed: set[str], metric: str) -> None:
    scores = _scores(0, **noise)
    declared = replace(Gate(metric=metric, max_calibration_error=0.2, resamples=100), **gate)  # type: ignore[arg-type]
    verdict = judge(_report(scores), scores, declared, milliseconds=3.0)
    assert tuple(condition.name for condition in verdict.conditions) == tuple(CONDITIONS)
    assert {condition.name for condition in verdict.conditions if not condition.passed} == failed, verdict.reason
    assert verdict.passed is not bool(failed) and verdict.reason
    canonical_json(verdict.to_json())


@pytest.mark.parametrize("metric", METRICS)
def test_every_declared_metric_can_decide(metric: str) -> None:
    scores = _scores(1, challenger=BEST, baseline=POOR, champion=POOR)
    verdict = judge(_report(scores), scores, Gate(metric=metric, resamples=100))
    assert verdict.passed, verdict.reason
    assert verdict.against_champion is not None and verdict.against_champion["metric"] == metric


def test_stale_champion_is_not_compared_and_the_verdict_says_why() -> None:
    scores = _scores(2, challenger=BEST, baseline=POOR)
    verdict = judge(_report(scores, fresh=False), scores, Gate(resamples=100))
    assert not verdict.passed and verdict.against_champion is None
    assert verdict.reason.startswith("The champion learned from it. The challenger was not compared with the champion")


def test_champion_judged_against_itself_has_nothing_to_promote() -> None:
    scores = _scores(3, challenger=BEST, baseline=POOR).with_columns(champion="challenger")
    verdict = judge(_report(scores, same=True), scores, Gate(resamples=100))
    assert not verdict.passed and "nothing to promote" in verdict.reason
    found = verdict.against_champion
    assert found is not None and found["difference"] == found["lower"] == found["upper"] == 0.0


def test_scores_that_are_not_finite_fail_without_a_comparison() -> None:
    scores = _scores(4, challenger=BEST, baseline=POOR).with_columns(challenger=pl.lit(float("nan"), dtype=pl.Float32))
    verdict = judge(_report(scores), scores, Gate(resamples=100))
    assert not verdict.passed and verdict.challenger is None and verdict.against_baseline is None
    assert verdict.reason.startswith("challenger roc_auc, challenger average_precision")
    assert "3,000 of 3,000 scores are no numbers between 0 and 1" in verdict.reason
    canonical_json(verdict.to_json())


def test_one_score_for_every_row_is_refused() -> None:
    scores = _scores(5, challenger=BEST, baseline=POOR).with_columns(challenger=pl.lit(0.3, dtype=pl.Float32))
    verdict = judge(_report(scores), scores, Gate(resamples=100))
    assert {c.name for c in verdict.conditions if not c.passed} == {"scores_are_sound", "better_than_baseline"}
    assert "Every row gets the same score" in verdict.reason


def test_the_verdict_holds_no_time_that_varies() -> None:
    scores = _scores(6, challenger=BEST, baseline=POOR)
    gate = Gate(resamples=100, max_milliseconds=5.0)
    one, other = (judge(_report(scores), scores, gate, milliseconds=time) for time in (1.0, 4.9))
    assert one == other
    unmeasured = judge(_report(scores), scores, gate)
    assert not unmeasured.passed and "measured no latency" in unmeasured.reason


PLACES = pl.Series("place", ["a", "b", None], dtype=pl.String).gather([0] * 1500 + [1] * 1400 + [2] * 100)


def _worse_in_b(metric: str, margin: float) -> Verdict:
    """A challenger better than the champion on the whole, and worse in place b."""
    scores = _scores(7, challenger=BEST, baseline=POOR, champion=GOOD)
    swapped = pl.when(PLACES == "b")
    scores = scores.with_columns(
        challenger=swapped.then("champion").otherwise("challenger"),
        champion=swapped.then("challenger").otherwise("champion"),
    )
    gate = Gate(metric=metric, resamples=100, slice_margins={"place": margin}, max_calibration_error=1.0)
    slices = pl.DataFrame({"place": PLACES})
    return judge(_report(scores), scores, gate, slices=slices)


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_no_declared_slice_may_be_worse_by_more_than_its_margin(metric: str) -> None:
    verdict = _worse_in_b(metric, 0.001)
    (found,) = [condition for condition in verdict.conditions if condition.name == "no_slice_worse"]
    assert not found.passed and "Worse than the champion in place=b -0." in found.reason
    assert "Not judged, too few rows or one class: place=(missing) (100 rows)" in found.reason
    assert (found.figures["judged"], found.figures["worse"], found.figures["not_judged"]) == (2, 1, 1)
    lower, gain = found.figures["gain_lower place=b"], found.figures["gain place=b"]
    assert lower is not None and gain is not None and lower < gain < 0 and not verdict.passed
    just = _worse_in_b(metric, -lower)
    (held,) = [condition for condition in just.conditions if condition.name == "no_slice_worse"]
    assert held.passed and "None of 2 slices is worse" in held.reason and "nearest: place=b" in held.reason


def test_slices_without_a_champion_or_rows_are_not_judged() -> None:
    scores = _scores(8, challenger=BEST, baseline=POOR)
    slices = pl.DataFrame({"place": PLACES})
    gate = Gate(resamples=100, slice_margins={"place": 0.0}, slice_rows=2000)
    assert "no champion to compare" in judge(_report(scores), scores, gate, slices=slices).conditions[6].reason
    scores = _scores(8, challenger=BEST, baseline=POOR, champion=GOOD)
    found = judge(_report(scores), scores, gate, slices=slices).conditions[6]
    assert found.passed and found.reason.startswith("No slice has 2000 rows") and found.figures["not_judged"] == 3


@pytest.mark.parametrize(
    ("challenger", "champion", "fresh", "words"),
    [
        ("2024-02-29T23:59:00+00:00", None, True, "the challenger saw none"),
        ("2024-03-01T00:00:00+00:00", "2024-01-01T00:00:00+00:00", True, "neither model saw any"),
        ("2024-03-01T00:00:01+00:00", None, False, "the challenger learned"),
        ("2024-02-01T00:00:00+00:00", "2024-03-01T02:00:00+01:00", False, "the champion learned"),
        ("2024-02-01T00:00:00+00:00", "2024-03-01T01:00:00+01:00", True, "neither model"),
    ],
)
def test_freshness_compares_times_not_texts(challenger: str, champion: str | None, fresh: bool, words: str) -> None:
    found = Freshness(holdout_start="2024-03-01T00:00:00+00:00", challenger_until=challenger, champion_until=champion)
    assert found.fresh is fresh and words in found.reason
