"""The judge is seldom wrong, however often it looks; and finds soon what is clearly worse, far off, slow or failing."""

import itertools
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_platform.monitoring.rollout.judge import Before, Verdict, judge
from mlops_platform.monitoring.rollout.pairs import Pairs
from mlops_platform.resources.rollouts import GO_ON, LOSE, WIN, Counts, bucket
from mlops_platform.scoring.sequential import mean_is_above, rate_is_above, sequential_gain, width
from mlops_platform.spec import Rollout
from mlops_platform_tests.monitoring.rollouts import World, life

USUAL = Rollout(min_rows=50, min_days=7, max_days=28)
WORSE = World(worse=0.5)


def ends(world: World, asked: Rollout, metric: str, lives: int, **how: int) -> list[list[Verdict]]:
    return [life(world, asked, metric, seed, days=asked.max_days, **how) for seed in range(lives)]


def wrong(lives: list[list[Verdict]]) -> float:
    return sum(each[-1].verdict == WIN for each in lives) / len(lives)


@pytest.mark.parametrize("world", [World(), WORSE], ids=["equal", "at the margin"])
def test_what_is_not_good_enough_is_seldom_promoted_however_often_it_is_looked_at(world: World) -> None:
    asked = replace(USUAL, margin=max(0.0, world.loss("log_loss")) if world.worse else 0.0, max_days=14)
    lives = ends(world, asked, "log_loss", 60, looks_a_day=2)
    assert max(len(each[-1].looks) for each in lives) > 10
    # By chance five in a hundred at most: of sixty, nine or more would be a chance of one in five hundred.
    assert wrong(lives) * 60 < 9


@pytest.mark.soak
@pytest.mark.parametrize("metric", ["log_loss", "roc_auc", "brier"])
@pytest.mark.parametrize("looks_a_day", [1, 4])
@pytest.mark.parametrize("worse", [0.0, 0.5])
def test_over_many_lives_wrong_promotions_are_rarer_than_was_declared(
    metric: str, looks_a_day: int, worse: float
) -> None:
    world, lives = World(worse=worse), 400
    asked = replace(USUAL, margin=max(0.0, world.loss(metric)) if worse else 0.0)
    share = wrong(ends(world, asked, metric, lives, looks_a_day=looks_a_day))
    print(f"{metric} {looks_a_day} looks a day, worse={worse}: {share:.4f} of {lives} promoted")
    assert share <= 1 - asked.confidence + 3 * np.sqrt(0.05 * 0.95 / lives)


def test_what_is_clearly_worse_is_rolled_back_early_and_what_is_better_wins_early() -> None:
    worse = ends(World(worse=2.0), USUAL, "log_loss", 10)
    assert {each[-1].verdict for each in worse} == {LOSE}
    assert np.median([each[-1].looks[-1].days for each in worse]) <= 10
    assert all("worse by more than the margin" in each[-1].reason for each in worse)
    better = ends(World(worse=0.0), replace(USUAL, margin=0.2), "log_loss", 10)
    assert {each[-1].verdict for each in better} == {WIN}
    assert np.median([each[-1].looks[-1].days for each in better]) <= 10


def test_without_a_verdict_it_is_rolled_back_when_its_time_is_over() -> None:
    last = life(World(), replace(USUAL, max_days=8), "log_loss", 3, days=8)[-1]
    assert last.verdict == LOSE and last.reason.startswith("No verdict within 8 days.")


def of(rows: pl.DataFrame) -> Pairs:
    return Pairs(answered=rows.with_columns(answered_at=pl.col("event_timestamp")), labelled=rows)


NOTHING, NONE = Counts(), Before()


def said(found: Pairs, counts: Counts = NOTHING, asked: Rollout = USUAL, before: Before = NONE) -> Verdict:
    return judge(found, counts, asked, metric="log_loss", calendar="UTC", overdue=False, before=before)


TEN_DAYS = World().days(np.random.default_rng(5), 10)


def test_the_same_labels_are_no_further_look() -> None:
    first = said(of(TEN_DAYS))
    again = said(of(TEN_DAYS), before=Before(looks=first.looks, seen=first.seen))
    assert [look.number for look in first.looks] == [1] and again == first
    more = said(of(World().days(np.random.default_rng(5), 11)), before=Before(looks=first.looks, seen=first.seen))
    assert [look.number for look in more.looks] == [1, 2] and more.looks[0] == first.looks[0]


def test_few_rows_or_days_are_reported_and_not_judged() -> None:
    assert "50 are required" in said(of(TEN_DAYS.head(49))).reason
    few = said(of(TEN_DAYS.head(200)))
    assert few.verdict == GO_ON and "of 5 days: 7 are required" in few.reason and few.looks == ()
    one = TEN_DAYS.with_columns(label=pl.lit(1, dtype=pl.Int8))
    assert "not defined" in judge(of(one), Counts(), USUAL, metric="roc_auc", calendar="UTC", overdue=False,
                                  before=Before()).reason  # fmt: skip


def test_before_labels_far_off_slow_and_failing_challengers_are_rolled_back() -> None:
    unlabelled = Pairs(answered=of(TEN_DAYS).answered, labelled=TEN_DAYS.clear())
    away = said(unlabelled)
    assert away.verdict == GO_ON and away.figures["disagreement"] is not None
    assert said(unlabelled, asked=replace(USUAL, max_disagreement=0.01)).verdict == LOSE
    assert said(unlabelled, asked=replace(USUAL, max_disagreement=0.9)).verdict == GO_ON
    times = Counts(scored=200, champion={bucket(0.001): 200}, challenger={bucket(0.004): 150, bucket(0.001): 50})
    few = replace(times, champion={bucket(0.001): 99}, challenger={bucket(0.004): 99})
    assert times.slowdown == pytest.approx(4, rel=0.05)
    slow = said(unlabelled, times, replace(USUAL, max_slowdown=2.0))
    assert slow.verdict == LOSE and "times the champion's" in slow.reason
    assert said(unlabelled, few, replace(USUAL, max_slowdown=2.0)).verdict == GO_ON
    failing = said(unlabelled, Counts(scored=90, failed=10, error="no such column"))
    assert failing.verdict == LOSE and "10 of 100" in failing.reason and "no such column" in failing.reason
    assert "refused the challenger. bad weights" in said(unlabelled, Counts(refused="bad weights")).reason
    assert said(unlabelled, Counts(scored=999, failed=1, error="once")).verdict == GO_ON


def test_of_few_questions_that_are_alike_no_difference_is_shown() -> None:
    alike = pl.concat([TEN_DAYS.head(1)] * 20)
    apart = alike.with_columns(challenger=pl.col("champion") + 0.3)
    found = Pairs(answered=of(apart).answered, labelled=TEN_DAYS.clear())
    asked = replace(USUAL, max_disagreement=0.1)
    assert said(found, asked=asked).verdict == GO_ON
    many = TEN_DAYS.with_columns(challenger=pl.col("champion") + 0.3)
    assert said(Pairs(answered=of(many).answered, labelled=TEN_DAYS.clear()), asked=asked).verdict == LOSE


def test_what_scores_the_same_is_not_better_and_within_a_margin_not_worse() -> None:
    same = of(TEN_DAYS.with_columns(challenger=pl.col("champion")))
    assert said(same).verdict == GO_ON
    assert said(same, asked=replace(USUAL, margin=0.01)).verdict == WIN


def test_failures_as_rare_as_allowed_seldom_end_a_rollout_however_often_it_is_looked_at() -> None:
    ended = 0
    for seed in range(100):
        failed = (np.random.default_rng(seed).random(5_000) < USUAL.max_failures).cumsum()
        looks = range(50, 5_001, 50)
        ended += any(rate_is_above(int(failed[n - 1]), n, USUAL.max_failures, USUAL.confidence) for n in looks)
    # By a test of one look, a quarter of them.
    assert ended <= 5
    assert rate_is_above(1, 10**7, 0.0, 0.95) and not rate_is_above(5, 10**7, 0.01, 0.95)
    assert rate_is_above(300, 10_000, 0.01, 0.95) and not rate_is_above(0, 10, 0.0, 0.95)


def test_a_forecast_is_judged_as_well() -> None:
    random = np.random.default_rng(1)
    kind = pl.Array(pl.Float32, 3)
    truth = random.normal(size=(400, 3)).astype(np.float32)
    rows = TEN_DAYS.select("example_id", "event_timestamp").with_columns(
        champion=pl.Series((truth + random.normal(size=(400, 3))).astype(np.float32), dtype=kind),
        challenger=pl.Series((truth + 0.1).astype(np.float32), dtype=kind),
        label=pl.Series(truth, dtype=kind),
    )
    found = judge(of(rows), Counts(), USUAL, metric="mae", calendar="UTC", overdue=False, before=Before())
    assert found.verdict == WIN and found.figures["disagreement"] is not None


@given(groups=st.integers(2, 500), confidence=st.floats(0.6, 0.999), expected=st.floats(2, 200))
def test_a_bound_for_all_looks_is_wider_than_one_for_one_look(groups: int, confidence: float, expected: float) -> None:
    from scipy import stats

    once = float(stats.t.isf(1 - confidence, groups - 1))
    assert width(groups, confidence, expected=expected) > once


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_mean_stays_above_its_lower_bound_at_all_looks(seed: int) -> None:
    values = np.random.default_rng(seed).random(300)
    bounds = [mean_is_above(values[:n], 0.999, expected=100) for n in range(2, 300, 20)]
    assert all(bound is not None and bound < 0.5 for bound in bounds)
    assert mean_is_above(values[:1], 0.95, expected=100) is None


def test_both_ways_round_the_gain_is_the_same_but_for_its_sign() -> None:
    label, one, other = (TEN_DAYS[name].to_numpy() for name in ("label", "challenger", "champion"))
    groups = np.repeat(np.arange(10), 40)
    found = [
        sequential_gain(label, a, b, groups, metric=metric, confidence=0.95, expected=14)
        for metric, (a, b) in itertools.product(("log_loss", "roc_auc"), ((one, other), (other, one)))
    ]
    for there, back in ((found[0], found[1]), (found[2], found[3])):
        assert there is not None and back is not None
        assert there.gain == pytest.approx(-back.gain) and there.lower == pytest.approx(-back.upper)
