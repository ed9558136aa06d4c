"""Promotion: what follows from the gate's verdict, given what is live, what is barred and who has the last word."""

from dataclasses import dataclass

from mlops_platform.registry.alias import now
from mlops_platform.resources.history import KEEP, PROMOTE, Move, PromotionHistory


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A challenger and its verdict.

    Attributes:
        version: Its version in the registry.
        checkpoint: Digest of its checkpoint.
        verdict: Digest of the verdict.
        passed: Whether the gate let it through.
        reason: Why, in words and numbers.
    """

    version: str
    checkpoint: str
    verdict: str
    passed: bool
    reason: str


def decide(
    history: PromotionHistory, judged: Judged, *, actor: str, run_id: str, require_approval: bool = False
) -> Move:
    """Appends the decision on a verdict to the history, once for each verdict, and returns the newest decision.

    A verdict that was decided stays decided, whatever a person moved since. It is decided again where what held the
    challenger back is gone: its bar was lifted, or approval is no longer required.
    """
    newest = history.newest_decision()
    if newest is not None and _decided(history, judged, require_approval=require_approval):
        return newest
    live = history.live()
    version, checkpoint = (live.champion, live.checkpoint) if live else (None, None)
    against = _against(history, judged, checkpoint) if judged.passed else judged.reason
    awaits = against is None and require_approval
    if awaits:
        against = (
            f"awaits approval: mlops promote {history.model} --version {judged.version} --by NAME --because TEXT. "
            f"{judged.reason}"
        )
    return history.append(
        Move(
            at=now(),
            action=PROMOTE if against is None else KEEP,
            version=judged.version,
            champion=judged.version if against is None else version,
            previous=version,
            checkpoint=judged.checkpoint if against is None else checkpoint,
            challenger=judged.checkpoint,
            verdict=judged.verdict,
            reason=against or judged.reason,
            actor=actor,
            run_id=run_id,
            awaits=awaits,
        )
    )


def _decided(history: PromotionHistory, judged: Judged, *, require_approval: bool) -> bool:
    """Whether this verdict was decided and nothing has changed since that would decide it otherwise."""
    decided = False
    for move in history.moves():
        if move.verdict == judged.verdict:
            decided = require_approval or not move.awaits
        elif move.action == "allow" and move.challenger == judged.checkpoint:
            decided = False
    return decided


def _against(history: PromotionHistory, judged: Judged, live: str | None) -> str | None:
    """Why a challenger that passed the gate is not promoted; None if nothing speaks against it."""
    if judged.checkpoint == live:
        return f"Version {judged.version} is live already. {judged.reason}"
    bar = history.barred().get(judged.checkpoint)
    if bar is None:
        return None
    return (
        f"Version {judged.version} passed the gate, but is barred since the rollback of {bar.at} by {bar.actor} "
        f"({bar.reason}); to lift the bar: mlops allow {history.model} --version {judged.version} --by NAME "
        "--because TEXT"
    )
