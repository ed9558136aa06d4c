"""What the judge's finding means for the champion: the challenger is promoted, kept out, or goes on."""

from dataclasses import dataclass

from mlops_platform.registry.alias import now
from mlops_platform.registry.promotion import end_rollout
from mlops_platform.resources.history import PROMOTE, Move, PromotionHistory
from mlops_platform.resources.rollouts import LOSE, WIN


@dataclass(frozen=True, kw_only=True)
class Found:
    """The judge's finding.

    Attributes:
        digest: Of the finding.
        rollout: Digest of the entry by which the rollout began that it is about.
        verdict: ``go on``, ``promote`` or ``roll back``.
        reason: Why, in words and numbers.
    """

    digest: str
    rollout: str
    verdict: str
    reason: str


def conclude(history: PromotionHistory, found: Found, *, actor: str, run_id: str) -> Move | None:
    """Ends the rollout that a finding is about, once; None where it goes on, or something else ended it.

    Args:
        history: Of the model, locked.
        found: The judge's finding.
        actor, run_id: Who or what asked.
    """
    begun = history.rollout_entry()
    if begun is None or begun[0] != found.rollout:
        return next((move for move in history.moves() if move.ended_by == found.digest), None)
    if found.verdict == LOSE:
        return end_rollout(history, found.reason, actor=actor, run_id=run_id, ended_by=found.digest)
    if found.verdict != WIN:
        return None
    move, live = begun[1], history.live()
    return history.append(
        Move(at=now(), action=PROMOTE, version=move.version, champion=move.version,
             previous=live.champion if live else None, checkpoint=move.challenger, challenger=move.challenger,
             verdict=move.verdict, reason=found.reason, actor=actor, run_id=run_id, ended_by=found.digest)
    )  # fmt: skip


def acts(history: PromotionHistory, found: Found) -> bool:
    """Whether a finding ends the rollout that is open now."""
    begun = history.rollout_entry()
    return begun is not None and begun[0] == found.rollout and found.verdict in (WIN, LOSE)
