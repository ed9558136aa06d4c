"""The verdict on a rollout: go on, promote, or roll back.

Before labels arrive, the challenger can only lose: by scores too far from the champion's, by slowness, by failures.
Once labels are known it wins where it is shown not to be worse by more than the margin, and loses where it is shown to
be; both by a confidence sequence over days, which may be looked at any number of times.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from mlops_platform.manifest import digest_bytes
from mlops_platform.monitoring.quality import calendar_days
from mlops_platform.monitoring.rollout.pairs import Pairs
from mlops_platform.resources.rollouts import GO_ON, LOSE, WIN, Counts
from mlops_platform.scoring.sequential import mean_is_above, rate_is_above, sequential_gain
from mlops_platform.spec import Rollout

_ENOUGH = 100
"""Questions of which a median time, or a mean difference, says enough: of a few that are alike nothing is learned."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at the labels.

    Attributes:
        number: Of the look, from 1.
        rows, days: Labelled pairs, and the calendar days they are of.
        until: The newest of their times, ISO 8601.
        gain, lower, upper: How much better the challenger is, and the confidence sequence's bounds at this look.
    """

    number: int
    rows: int
    days: int
    until: str
    gain: float
    lower: float
    upper: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the judge says now.

    Attributes:
        verdict: ``go on``, ``promote`` or ``roll back``.
        reason: Why, in words and numbers.
        looks: All looks at labels so far, oldest first.
        seen: Digest of the labelled pairs that were looked at last; equal ones are no new look.
        figures: What the verdict rests on.
    """

    verdict: str
    reason: str
    looks: tuple[Look, ...]
    seen: str | None
    figures: Mapping[str, float | int | None]


@dataclass(frozen=True, kw_only=True)
class Before:
    """What the judge had seen.

    Attributes:
        looks: Oldest first.
        seen: As of the newest ``Verdict``.
    """

    looks: tuple[Look, ...] = ()
    seen: str | None = None


def judge(found: Pairs, counts: Counts, asked: Rollout, *, metric: str, calendar: str, overdue: bool,
          before: Before) -> Verdict:  # fmt: skip
    """Judges a rollout.

    Args:
        found: Live questions that both versions answered.
        counts: What serving processes counted.
        asked: The declaration.
        metric: The gate's.
        calendar: Time zone of the days.
        overdue: Whether the rollout has lasted for ``max_days``.
        before: What was seen before.
    """
    away, distance = _disagreement(found, asked)
    figures: dict[str, float | int | None] = {
        "answered": found.answered.height, "labelled": found.labelled.height, "disagreement": distance,
        "slowdown": counts.slowdown, "scored": counts.scored, "failed": counts.failed, "dropped": counts.dropped,
    }  # fmt: skip
    looks, seen, unseen = _look(found.labelled, asked, metric, calendar, before)
    against = _failing(counts, asked) or away or _slow(counts, asked)
    verdict, reason = (LOSE, against) if against else _by_labels(looks, unseen, asked, metric)
    if verdict == GO_ON and overdue:
        verdict, reason = LOSE, f"No verdict within {asked.max_days} days. {reason}"
    return Verdict(verdict=verdict, reason=reason, looks=looks, seen=seen, figures=figures)


def _by_labels(looks: Sequence[Look], unseen: str | None, asked: Rollout, metric: str) -> tuple[str, str]:
    if unseen is not None:
        return GO_ON, unseen
    newest = looks[-1]
    told = (
        f"{metric} of the challenger is better by {newest.gain:+.4f} on {newest.rows:,} labelled questions of "
        f"{newest.days} days (look {newest.number}; {asked.confidence:.0%} confidence sequence {newest.lower:+.4f} to "
        f"{newest.upper:+.4f})"
    )
    # Where both versions are equal on each day there is no width: equal is not better.
    if newest.lower > -asked.margin:
        return WIN, f"{told}: not worse by more than the margin of {asked.margin:.4f}."
    if newest.upper < -asked.margin:
        return LOSE, f"{told}: worse by more than the margin of {asked.margin:.4f}."
    return GO_ON, f"{told}: not decided yet against a margin of {asked.margin:.4f}."


def _look(rows: pl.DataFrame, asked: Rollout, metric: str, calendar: str,
          before: Before) -> tuple[tuple[Look, ...], str | None, str | None]:  # fmt: skip
    """All looks with the one of now, what was seen, and why there is nothing to be seen."""
    if rows.height < asked.min_rows:
        return before.looks, before.seen, f"{rows.height:,} labelled questions: {asked.min_rows:,} are required."
    days = calendar_days(rows, calendar)
    groups = np.unique(days.to_physical().to_numpy(), return_inverse=True)[1].astype(np.int64)
    count = int(groups.max()) + 1
    if count < asked.min_days:
        return before.looks, before.seen, f"Labelled questions of {count} days: {asked.min_days} are required."
    seen = _digest(rows)
    if seen == before.seen and before.looks:
        return before.looks, seen, None
    gain = sequential_gain(
        rows["label"].to_numpy(), rows["challenger"].to_numpy(), rows["champion"].to_numpy(), groups,
        metric=metric, confidence=asked.confidence, expected=max(2.0, asked.max_days / 2),
    )  # fmt: skip
    if gain is None:
        return before.looks, before.seen, f"{metric} is not defined on the {rows.height:,} labelled questions."
    newest = Look(number=len(before.looks) + 1, rows=rows.height, days=count, gain=gain.gain, lower=gain.lower,
                  upper=gain.upper, until=rows["event_timestamp"].max().isoformat())  # type: ignore[union-attr] # fmt: skip
    return (*before.looks, newest), seen, None


def _digest(rows: pl.DataFrame) -> str:
    return digest_bytes(rows.write_json().encode())


def _disagreement(found: Pairs, asked: Rollout) -> tuple[str | None, float | None]:
    """Why the challenger's scores are too far from the champion's, if they are; and the mean absolute difference."""
    if found.answered.is_empty():
        return None, None
    scores = [found.answered[name] for name in ("champion", "challenger")]
    flat = [np.vstack(each.to_list()) if each.dtype.is_nested() else each.to_numpy()[:, None] for each in scores]
    away = np.abs(flat[1].astype(np.float64) - flat[0]).mean(axis=1)
    mean, limit = float(away.mean()), asked.max_disagreement
    enough = limit is not None and len(away) >= _ENOUGH
    lower = mean_is_above(away, asked.confidence, expected=asked.min_rows) if enough else None
    if limit is None or lower is None or lower <= limit:
        return None, mean
    return (
        f"Scores differ by {mean:.4f} on average over {len(away):,} questions, at least {lower:.4f} with "
        f"{asked.confidence:.0%} confidence: more than the {limit:g} allowed."
    ), mean


def _slow(counts: Counts, asked: Rollout) -> str | None:
    ratio, limit, timed = counts.slowdown, asked.max_slowdown, sum(counts.champion.values())
    if limit is None or ratio is None or timed < _ENOUGH or ratio <= limit:
        return None
    return (
        f"The challenger's median scoring time is {ratio:.2f} times the champion's over {timed:,} questions: "
        f"more than the {limit:g} allowed."
    )


def _failing(counts: Counts, asked: Rollout) -> str | None:
    """Why its failures end it: a process refused it, or they are more than the share allowed, beyond chance."""
    if counts.refused is not None:
        return f"A serving process refused the challenger. {counts.refused}"
    asked_of = counts.scored + counts.failed
    if not rate_is_above(counts.failed, asked_of, asked.max_failures, asked.confidence):
        return None
    return (
        f"The challenger failed to score {counts.failed:,} of {asked_of:,} questions: more than the "
        f"{asked.max_failures:.1%} allowed. Newest: {counts.error}"
    )


def before_of(report: Mapping[str, Any]) -> Before:
    """What a report of the judge says was seen."""
    return Before(looks=tuple(Look(**look) for look in report["looks"]), seen=report["seen"])


def to_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict as its report holds it."""
    return asdict(verdict)
