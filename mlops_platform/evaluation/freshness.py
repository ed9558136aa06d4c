"""Is the holdout fresh: did neither model see any of it in training?"""

from dataclasses import dataclass
from datetime import datetime

from mlops_platform.errors import CorruptArtifactError
from mlops_platform.manifest import Manifest, short


@dataclass(frozen=True, kw_only=True)
class Freshness:
    """What each model's training could know, beside where the holdout begins.

    Attributes:
        holdout_start: Time of the holdout's first possible event, ISO 8601.
        challenger_until: Latest known time of a label in the challenger's training or validation, or in those of the
            checkpoints that it began from, ISO 8601.
        champion_until: The same of the champion; None if none is live.
    """

    holdout_start: str
    challenger_until: str
    champion_until: str | None

    @property
    def challenger_fresh(self) -> bool:
        """Whether the challenger learned nothing that became known after the holdout began."""
        return _time(self.challenger_until) <= _time(self.holdout_start)

    @property
    def champion_fresh(self) -> bool:
        """Whether the champion, if any, learned nothing that became known after the holdout began."""
        return self.champion_until is None or _time(self.champion_until) <= _time(self.holdout_start)

    @property
    def fresh(self) -> bool:
        """Whether both are."""
        return self.challenger_fresh and self.champion_fresh

    @property
    def reason(self) -> str:
        """The finding in words."""
        stale = [
            f"the {name} learned from labels known until {until}"
            for name, until, fresh in (
                ("challenger", self.challenger_until, self.challenger_fresh),
                ("champion", self.champion_until, self.champion_fresh),
            )
            if not fresh
        ]
        if stale:
            return f"The holdout begins at {self.holdout_start}, but {' and '.join(stale)}."
        seen = "the challenger saw none" if self.champion_until is None else "neither model saw any"
        return f"The holdout begins at {self.holdout_start}; {seen} of it."


def freshness(dataset: Manifest, *, challenger: str, champion: str | None) -> Freshness:
    """Compares what the models learned from with the holdout.

    Args:
        dataset: Whose holdout is scored.
        challenger: ``learned_until`` of the challenger.
        champion: That of the champion; None if none is live.
    """
    return Freshness(
        holdout_start=_content(dataset, "holdout_start"), challenger_until=challenger, champion_until=champion
    )


def learned_until(dataset: Manifest, checkpoint: Manifest) -> str:
    """Latest known time of a label that decided a checkpoint or any that its training began from, ISO 8601.

    Args:
        dataset: That the checkpoint was trained on.
        checkpoint: Which notes what came before it, where it began from another.
    """
    own, begun = _content(dataset, "trained_until"), checkpoint.content.get("warm_start")
    return max(own, begun["known_until"], key=_time) if begun else own


def _content(manifest: Manifest, name: str) -> str:
    value = manifest.content.get(name)
    if not isinstance(value, str) or _time(value).tzinfo is None:
        raise CorruptArtifactError(
            required=f"a time with its zone as {name} in the content of dataset {short(manifest.digest)}",
            found=repr(value), remedy="materialize the dataset again",
        )  # fmt: skip
    return value


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
