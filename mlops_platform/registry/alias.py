"""The alias ``champion`` of one model, beside the history that it has to follow.

The history is the truth. It is written first, then the alias is put where it says; a process that dies in between
leaves an alias behind the history, and whoever comes next moves it. An alias that somebody else moved is written down
before it is put back.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from mlops_platform.errors import MissingArtifactError, PlatformError
from mlops_platform.resources.aliases import CHAMPION, CHECKPOINT_TAG, alias_version
from mlops_platform.resources.history import FOUND, REHEARSAL, Move, PromotionHistory
from mlops_platform.resources.mlflow import MlflowDoor

UNKNOWN = "unknown"
"""Who moved an alias by hand: MLflow does not say."""


@dataclass(frozen=True, kw_only=True)
class ChampionAlias:
    """One model's history and alias. All but ``pointed`` asks for the history's lock.

    Attributes:
        history: The truth.
        door: MLflow.
        name: Registered name.
    """

    history: PromotionHistory
    door: MlflowDoor
    name: str

    def pointed(self) -> str | None:
        """The version that the alias points to in MLflow."""
        return alias_version(self.door, self.name, CHAMPION)

    def settle(self, run_id: str | None) -> None:
        """Writes down what happened since: an alias moved by somebody else, a rehearsal that was cut off."""
        moves = self.history.moves()
        said = moves[-1].champion if moves else None
        pointed, noted = self.pointed(), self.history.carried_out()
        # Where the alias still is where it was put last, the process that wrote the newest entry died before moving it.
        late = noted or ((moves[-1].previous,) if moves else (None,))
        if pointed not in (said, *late):
            self.history.append(self._found(moves[-1] if moves else None, pointed, run_id))
        cut = self.history.cut_off()
        if cut is not None:
            reason = f"The rehearsal of {cut.at} was cut off before its way back."
            self.history.append(
                way_back(cut, checkpoint=cut.challenger, actor=cut.actor, run_id=run_id, seconds=None, reason=reason)
            )

    def carry_out(self) -> str | None:
        """Points the alias where the history says, and returns the version it pointed to before.

        Raises:
            PlatformError: MLflow no longer has the version that is to be live.
        """
        from mlflow.exceptions import MlflowException

        before, live = self.pointed(), self.history.live()
        said = live.champion if live else None
        if said is None and before is not None:
            self.door.client.delete_registered_model_alias(self.name, CHAMPION)
        elif said is not None and before != said:
            try:
                self.door.client.set_registered_model_alias(self.name, CHAMPION, said)
            except MlflowException as error:
                raise self._gone(said, str(error)) from error
        self.history.note_carried_out(said)
        return before

    def registered_checkpoint(self, version: str) -> str:
        """Digest of the checkpoint of a version in MLflow.

        Raises:
            PlatformError: MLflow has no such version, or it is none of ours.
        """
        if not self.door.exists:
            raise self._gone(version, "nothing registered in this home")
        from mlflow.exceptions import MlflowException

        try:
            tags = self.door.client.get_model_version(self.name, version).tags
        except MlflowException as error:
            raise self._gone(version, str(error)) from error
        if CHECKPOINT_TAG not in tags:
            raise self._gone(version, f"a version without the tag {CHECKPOINT_TAG}")
        return tags[CHECKPOINT_TAG]

    def _gone(self, version: str, found: str) -> MissingArtifactError:
        return MissingArtifactError(
            required=f"version {version} of {self.name} in MLflow, registered by this platform", found=found,
            remedy="name a version that MLflow's registry lists; roll back from one that was deleted by hand",
        )  # fmt: skip

    def _found(self, live: Move | None, pointed: str | None, run_id: str | None) -> Move:
        said, checkpoint = (live.champion, live.checkpoint) if live else (None, None)
        where = "gone" if pointed is None else f"at version {pointed}"
        reason = (
            f"The alias was found {where} instead of {f'version {said}' if said else 'nowhere'}: moved outside the "
            "platform, by whom and since when is unknown. It is put back."
        )
        return Move(at=now(), action=FOUND, version=pointed, champion=said, previous=said, checkpoint=checkpoint,
                    challenger=None, verdict=None, reason=reason, actor=UNKNOWN, run_id=run_id)  # fmt: skip


def now() -> str:
    """This moment, as entries write it."""
    return datetime.now(UTC).isoformat()


def way_back(there: Move, *, checkpoint: str | None, actor: str, run_id: str | None, seconds: float | None,
             reason: str) -> Move:  # fmt: skip
    """The second entry of a rehearsal: the version that was live before it is live again."""
    return Move(at=now(), action=REHEARSAL, version=there.version, champion=there.version, previous=there.champion,
                checkpoint=checkpoint, challenger=there.challenger, verdict=None, reason=reason, actor=actor,
                run_id=run_id, person=True, seconds=seconds)  # fmt: skip


def require_live(alias: ChampionAlias) -> Move:
    """The newest entry, which says what is live.

    Raises:
        PlatformError: Nothing is.
    """
    live = alias.history.live()
    if live is None:
        raise PlatformError(
            required=f"a live version of {alias.history.model}", found="no version was ever promoted",
            remedy=f"mlops materialize, then see: mlops history {alias.history.model}",
        )  # fmt: skip
    return live
