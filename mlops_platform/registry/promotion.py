"""Promotion: what follows from the gate's verdict, given what is live, what is barred and who has the last word."""

from dataclasses import dataclass

from mlops_platform.registry.alias import now
from mlops_platform.resources.history import KEEP, PROMOTE, ROLLOUT, Move, PromotionHistory


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A challenger and its verdict.

    Attributes:
        version: Its version in the registry.
        checkpoint: Digest of its checkpoint.
        verdict: Digest of the verdict.
        passed: Whether the gate let it through.
        reason: Why, in words and numbers.
        skew: Digest of the report of its skew.
        skewed: Why its skew holds it back, if it does.
    """

    version: str
    checkpoint: str
    verdict: str
    passed: bool
    reason: str
    skew: str | None = None
    skewed: str | None = None


def decide(
    history: PromotionHistory,
    judged: Judged,
    *,
    actor: str,
    run_id: str,
    require_approval: bool = False,
    rollout: bool = False,
) -> Move:
    """Appends the decision on a verdict to the history, once for each verdict, and returns the newest decision.

    A verdict that was decided stays decided, whatever a person moved since. It is decided again where what held the
    challenger back is gone: its bar was lifted, its skew was mended, approval is no longer required, or no rollout is
    declared any more.

    Args:
        history: Of the model, locked.
        judged: The challenger and its verdict.
        actor, run_id: Who or what asked.
        require_approval: Whether a challenger that passes waits for a person; where rollouts are declared, once it has
            won its own.
        rollout: Whether a challenger that passes meets live traffic before it is promoted. The first champion does
            not: there is nothing to compare it with.
    """
    newest = history.newest_decision()
    if newest is not None and _decided(history, judged, require_approval=require_approval, rollout=rollout):
        return newest
    live = history.live()
    against = _against(history, judged, live.checkpoint if live else None) if judged.passed else judged.reason
    meets_traffic = against is None and rollout and live is not None and not _has_won(history, judged, live)
    awaits = against is None and require_approval and not meets_traffic
    if awaits:
        against = approval(history, judged.version, judged.reason)
    action = KEEP if against is not None else ROLLOUT if meets_traffic else PROMOTE
    if action != KEEP or not rollout:
        why = f"Version {judged.version} takes its place." if rollout else "No rollout is declared any more."
        end_rollout(history, why, actor=actor, run_id=run_id, but=judged.checkpoint, ended_by=judged.verdict)
    promoted = action == PROMOTE
    version, checkpoint = (live.champion, live.checkpoint) if live else (None, None)
    return history.append(
        Move(
            at=now(),
            action=action,
            version=judged.version,
            champion=judged.version if promoted else version,
            previous=version,
            checkpoint=judged.checkpoint if promoted else checkpoint,
            challenger=judged.checkpoint,
            verdict=judged.verdict,
            reason=against or judged.reason,
            actor=actor,
            run_id=run_id,
            awaits=awaits,
            skew=judged.skew,
            skewed=judged.passed and judged.skewed is not None,
        )
    )


def approval(history: PromotionHistory, version: str | None, reason: str) -> str:
    """What an entry says that awaits a person's approval.

    Args:
        history: Of the model.
        version: That is to be promoted.
        reason: What speaks for it.
    """
    return f"awaits approval: mlops promote {history.model} --version {version} --by NAME --because TEXT. {reason}"


def end_rollout(history: PromotionHistory, reason: str, *, actor: str, run_id: str | None, person: bool = False,
                but: str | None = None, ended_by: str | None = None) -> Move | None:  # fmt: skip
    """Ends the open rollout, if there is one: its challenger is kept out and the champion stays.

    Args:
        history: Of the model, locked.
        reason: Why.
        actor, run_id, person: Who or what asked.
        but: Checkpoint whose rollout is not ended by this.
        ended_by: Digest of the finding or verdict that ends it.
    """
    begun, live = history.rollout(), history.live()
    if begun is None or live is None or begun.challenger == but:
        return None
    return history.append(
        Move(at=now(), action=KEEP, version=begun.version, champion=live.champion, previous=live.champion,
             checkpoint=live.checkpoint, challenger=begun.challenger, verdict=begun.verdict, reason=reason, actor=actor,
             run_id=run_id, person=person, ended_by=ended_by, skew=begun.skew)
    )  # fmt: skip


def _decided(history: PromotionHistory, judged: Judged, *, require_approval: bool, rollout: bool) -> bool:
    """Whether this verdict was decided and nothing has changed since that would decide it otherwise."""
    decided = False
    for move in history.moves():
        if move.verdict == judged.verdict:
            undone = (
                (move.awaits and not require_approval)
                or (move.action == ROLLOUT and not rollout)
                or (move.skewed and judged.skewed is None)
            )
            decided = not undone
        elif move.action == "allow" and move.challenger == judged.checkpoint:
            decided = False
    return decided


def _has_won(history: PromotionHistory, judged: Judged, live: Move) -> bool:
    """Whether a challenger won its rollout against what is live, and awaited approval."""
    ended = history.ended_rollouts().get(judged.checkpoint)
    return ended is not None and ended.awaits and ended.checkpoint == live.checkpoint


def _against(history: PromotionHistory, judged: Judged, live: str | None) -> str | None:
    """Why a challenger that passed the gate is not promoted; None if nothing speaks against it."""
    if judged.skewed is not None:
        return f"Version {judged.version} passed the gate, but {judged.skewed}. {judged.reason}"
    if judged.checkpoint == live:
        return f"Version {judged.version} is live already. {judged.reason}"
    ended = history.ended_rollouts().get(judged.checkpoint)
    if ended is not None and not ended.awaits:
        return (
            f"Version {judged.version} passed the gate, but its rollout ended {ended.at} by {ended.actor} "
            f"({ended.reason}); to promote it nonetheless: mlops promote {history.model} --version {judged.version} "
            "--by NAME --because TEXT"
        )
    bar = history.barred().get(judged.checkpoint)
    if bar is None:
        return None
    return (
        f"Version {judged.version} passed the gate, but is barred since the rollback of {bar.at} by {bar.actor} "
        f"({bar.reason}); to lift the bar: mlops allow {history.model} --version {judged.version} --by NAME "
        "--because TEXT"
    )
