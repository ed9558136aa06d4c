"""Promotion: the gate's verdict, written to the history, then carried out on the alias.

The history is the truth. It is written first; a process that dies before the alias moved leaves an alias behind it,
which the next run moves.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from mlops_platform.registry.versions import CHAMPION, alias_version
from mlops_platform.resources.history import Move, PromotionHistory
from mlops_platform.resources.mlflow import MlflowDoor


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


def decide(history: PromotionHistory, judged: Judged, *, actor: str, run_id: str) -> Move:
    """Appends the decision to the history, unless it is already there, and returns the newest entry."""
    moves = history.moves()
    if moves and moves[-1].verdict == judged.verdict:
        return moves[-1]
    live = moves[-1] if moves else None
    now_live = (judged.version, judged.checkpoint) if judged.passed else _live(live)
    return history.append(
        Move(
            at=datetime.now(UTC).isoformat(),
            action="promote" if judged.passed else "keep",
            version=judged.version,
            champion=now_live[0],
            previous=_live(live)[0],
            checkpoint=now_live[1],
            challenger=judged.checkpoint,
            verdict=judged.verdict,
            reason=judged.reason,
            actor=actor,
            run_id=run_id,
        )
    )


def carry_out(door: MlflowDoor, name: str, move: Move) -> str | None:
    """Points the alias where the history says, and returns the version it pointed to before."""
    before = alias_version(door, name, CHAMPION)
    if move.champion is not None and before != move.champion:
        door.client.set_registered_model_alias(name, CHAMPION, move.champion)
    return before


def _live(move: Move | None) -> tuple[str | None, str | None]:
    return (move.champion, move.checkpoint) if move else (None, None)
