"""Simulated rollouts: two versions answer the same questions, whose days share their luck."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from mlops_platform.monitoring.rollout.judge import Before, Verdict, judge
from mlops_platform.monitoring.rollout.pairs import Pairs
from mlops_platform.resources.rollouts import GO_ON, Counts
from mlops_platform.scoring.metrics import measure
from mlops_platform.spec import LOWER_IS_BETTER, Rollout

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class World:
    """What both versions know: the true chance, but for noise of their own; a day moves all its chances.

    Attributes:
        worse: How much more noise the challenger has; 0: it is as good as the champion.
        luck: Standard deviation of a day's effect, in logits; the challenger feels it the other way round by a part.
        rows: A day.
    """

    worse: float = 0.0
    luck: float = 0.5
    rows: int = 40

    def days(self, random: np.random.Generator, days: int) -> pl.DataFrame:
        """Labelled pairs of so many days."""
        day = np.repeat(np.arange(days), self.rows)
        truth = random.normal(-1, 1, len(day)) + self.luck * random.normal(size=days)[day]
        # Each version errs by day as well as by row, so that their difference has days' luck, too.
        champion = truth + 0.5 * random.normal(size=len(day)) + self.luck * random.normal(size=days)[day]
        noise = 0.5 + self.worse
        challenger = truth + noise * random.normal(size=len(day)) + self.luck * random.normal(size=days)[day]
        label = random.random(len(day)) < _chance(truth)
        return pl.DataFrame({
            "example_id": [f"e{number:06d}" for number in range(len(day))],
            "event_timestamp": [START + timedelta(days=int(number)) for number in day],
            "champion": _chance(champion).astype(np.float32), "challenger": _chance(challenger).astype(np.float32),
            "label": label.astype(np.int8),
        }).with_columns(pl.col("event_timestamp").cast(pl.Datetime("us", "UTC")))  # fmt: skip

    def loss(self, metric: str, days: int = 10_000) -> float:
        """By how much the challenger is truly worse."""
        found = self.days(np.random.default_rng(99), days)
        label = found["label"].to_numpy()
        champion, challenger = (measure(label, found[name].to_numpy())[metric] for name in ("champion", "challenger"))
        assert champion is not None and challenger is not None
        return champion - challenger if metric not in LOWER_IS_BETTER else challenger - champion


def _chance(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def life(world: World, asked: Rollout, metric: str, seed: int, *, days: int, looks_a_day: int = 1) -> list[Verdict]:
    """A rollout that is looked at so many times a day until it ends, or for so many days."""
    rows = world.days(np.random.default_rng(seed), days)
    verdicts, before = list[Verdict](), Before()
    for seen in range(1, days * looks_a_day + 1):
        labelled = rows.head(seen * world.rows // looks_a_day)
        answered = labelled.with_columns(answered_at=pl.col("event_timestamp"))
        verdict = judge(Pairs(answered=answered, labelled=labelled), Counts(), asked, metric=metric, calendar="UTC",
                        overdue=seen == days * looks_a_day, before=before)  # fmt: skip
        verdicts.append(verdict)
        before = Before(looks=verdict.looks, seen=verdict.seen)
        if verdict.verdict != GO_ON:
            break
    return verdicts
