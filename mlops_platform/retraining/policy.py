"""The policy's answer: whether to train again, and why, in numbers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mlops_platform.retraining.news import News
from mlops_platform.spec import Retraining, duration


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """One declared reason, and whether it holds.

    Attributes:
        name: Field of the declaration.
        holds: Whether it is reason enough.
        found: What was found, in the unit of ``required``.
        required: What the declaration asks.
        said: Both in words.
    """

    name: str
    holds: bool
    found: str
    required: str
    said: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The answer.

    Attributes:
        retrain: Yes or no.
        reason: Why, in words and numbers.
        triggers: Every declared reason, whether it holds or not.
    """

    retrain: bool
    reason: str
    triggers: tuple[Trigger, ...]

    def to_json(self) -> dict[str, Any]:
        """The decision as an artifact keeps it."""
        return {"retrain": self.retrain, "reason": self.reason, "triggers": [asdict(t) for t in self.triggers]}


def decide(policy: Retraining, *, trained: bool, news: News | None, stale: bool, cooling: bool,
           report: Mapping[str, Any] | None) -> Decision:  # fmt: skip
    """Asks the policy.

    Args:
        policy: The declaration.
        trained: Whether there is a checkpoint.
        news: What the newest dataset has that the checkpoint's had not; None where they are one.
        stale, cooling: As of ``Standing``.
        report: Content of the newest monitoring report: ``bad`` and ``reason``; None where there is none.
    """
    if not trained:
        return Decision(retrain=True, reason="yes: there is no checkpoint yet", triggers=())
    if news is None:
        said = "no: the newest checkpoint was trained on this very dataset, so there is nothing new to learn"
        return Decision(retrain=False, reason=said, triggers=())
    triggers = tuple(_triggers(policy, news, stale, report))
    holding = [trigger.said for trigger in triggers if trigger.holds]
    if not holding:
        said = "; ".join(trigger.said for trigger in triggers)
        return Decision(retrain=False, reason=f"no: {said}", triggers=triggers)
    why = "; ".join(holding)
    if cooling:
        said = f"no, not yet: {why}; but the last training is less than the cooldown of {policy.cooldown} ago"
        return Decision(retrain=False, reason=said, triggers=triggers)
    return Decision(retrain=True, reason=f"yes: {why}", triggers=triggers)


def _triggers(policy: Retraining, news: News, stale: bool, report: Mapping[str, Any] | None) -> list[Trigger]:
    found: list[Trigger] = []
    if policy.new_rows is not None:
        gone = " (the dataset trained on is no longer kept)" if news.earlier_is_gone else ""
        said = f"{news.rows:,} new labelled rows{gone}, {policy.new_rows:,} required"
        found.append(Trigger(name="new_rows", holds=news.rows >= policy.new_rows, found=f"{news.rows}",
                             required=f"{policy.new_rows}", said=said))  # fmt: skip
    if policy.new_span is not None:
        days, least = news.span.total_seconds() / 86_400, duration(policy.new_span).total_seconds() / 86_400
        said = f"{days:.1f} new days, {least:g} required"
        found.append(Trigger(name="new_span", holds=days >= least, found=f"{days:.3f} d", required=f"{least:g} d",
                             said=said))  # fmt: skip
    if policy.stale_after is not None:
        age = "at least" if stale else "less than"
        said = f"trained {age} {policy.stale_after} ago"
        found.append(Trigger(name="stale_after", holds=stale, found=f"{age} {policy.stale_after}",
                             required=policy.stale_after, said=said))  # fmt: skip
    if policy.on_bad_monitoring:
        bad, why = (bool(report["bad"]), str(report["reason"])) if report else (False, "no report yet")
        said = f"the monitoring report is {'bad' if bad else 'not bad'} ({why})"
        found.append(Trigger(name="on_bad_monitoring", holds=bad, found="bad" if bad else "not bad", required="bad",
                             said=said))  # fmt: skip
    return found
