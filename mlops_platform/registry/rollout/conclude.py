"""What the judge's finding means: the challenger is promoted, awaits approval, is kept out, or goes on."""

from dataclasses import dataclass

from mlops_platform.errors import PlatformError
from mlops_platform.registry.alias import ChampionAlias, now
from mlops_platform.registry.promotion import approval, end_rollout
from mlops_platform.resources.artifacts import ArtifactStore
from mlops_platform.resources.history import KEEP, PROMOTE, Move, PromotionHistory
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


def conclude(alias: ChampionAlias, found: Found, *, actor: str, run_id: str,
             require_approval: bool = False) -> Move | None:  # fmt: skip
    """Ends the rollout that a finding is about, once; None where it goes on, or something else ended it.

    Args:
        alias: Of the model, its history locked.
        found: The judge's finding.
        actor, run_id: Who or what asked.
        require_approval: Whether a challenger that won waits for a person.

    Raises:
        PlatformError: It won, and its version or its checkpoint is gone or damaged: nothing was decided.
    """
    history = alias.history
    begun = history.rollout_entry()
    if begun is None or begun[0] != found.rollout:
        return next((move for move in history.moves() if move.ended_by == found.digest), None)
    if found.verdict == LOSE:
        return end_rollout(history, found.reason, actor=actor, run_id=run_id, ended_by=found.digest)
    if found.verdict != WIN:
        return None
    move, live = begun[1], history.live()
    _require_whole(alias, move)
    version, checkpoint = (live.champion, live.checkpoint) if live else (None, None)
    return history.append(
        Move(at=now(), action=KEEP if require_approval else PROMOTE, version=move.version, previous=version,
             champion=version if require_approval else move.version,
             checkpoint=checkpoint if require_approval else move.challenger, challenger=move.challenger,
             reason=approval(history, move.version, found.reason) if require_approval else found.reason,
             awaits=require_approval, verdict=move.verdict, actor=actor, run_id=run_id, ended_by=found.digest,
             skew=move.skew)
    )  # fmt: skip


def _require_whole(alias: ChampionAlias, begun: Move) -> None:
    """Nothing is made live by the history that the alias could not follow to, or that no process could load."""
    registered = alias.registered_checkpoint(str(begun.version))
    if registered != begun.challenger:
        raise PlatformError(
            required=f"version {begun.version} of {alias.name} to be checkpoint {begun.challenger}, as in its rollout",
            found=f"{registered} in MLflow", remedy=f"end the rollout: mlops stop-rollout {alias.history.model} "
            "--by NAME --because TEXT",
        )  # fmt: skip
    checkpoint = ArtifactStore(alias.door.home).open("checkpoint", registered)
    for name in checkpoint.manifest.files:
        checkpoint.file(name)


def acts(history: PromotionHistory, found: Found) -> bool:
    """Whether a finding ends the rollout that is open now."""
    begun = history.rollout_entry()
    return begun is not None and begun[0] == found.rollout and found.verdict in (WIN, LOSE)
