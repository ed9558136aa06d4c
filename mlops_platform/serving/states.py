"""States of a model of sequences: the predictions station leaves them, and live answers go on from them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from mlops_platform.errors import PlatformError
from mlops_platform.manifest import short
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.scoring import Scorer
from mlops_platform.scoring.states import STATES, States, last_states
from mlops_platform.scoring.steps import TIME, Carried
from mlops_platform.spec import Model, Project

MARK = "state"
"""Name of the mark that says from which state an answer went on."""


@dataclass(frozen=True, kw_only=True)
class LiveStates:
    """The states that a loaded version goes on from. Questions do not move them.

    Attributes:
        predictions: Digest of the artifact that has them.
        made_at: When it was made, ISO 8601.
        states: Of each entity.
    """

    predictions: str
    made_at: str
    states: States

    def standing(self) -> dict[str, Any]:
        """``predictions`` (digest), ``made_at``, ``newest`` (time of the newest row in them) and ``entities``."""
        newest = self.states.newest
        return {"predictions": self.predictions, "made_at": self.made_at, "entities": len(self.states.times),
                "newest": newest.isoformat() if newest is not None else None}  # fmt: skip

    def marks(self, rows: pl.DataFrame) -> list[dict[str, str]]:
        """For each row, from which state it was answered."""
        of = f"of predictions {short(self.predictions)}"
        return [
            {MARK: f"initial, none in the states {of}" if at is None else f"after {at.isoformat()}, {of}"}
            for at in self.states.known(rows)
        ]


class StatesOfCheckpoints:
    """Where a live model finds the states of its checkpoint: in what its predictions station stands for."""

    def __init__(self, home: Home, project: Project, model: Model) -> None:
        self._refs, self._station = Refs(home), f"{project.name}/{model.name}/predictions"

    def find(self, checkpoint: str, held: LiveStates | None = None) -> Artifact | None:
        """The artifact that has them, undamaged; None where it is the one that ``held`` came from.

        Raises:
            PlatformError: There is none of this checkpoint yet, or its bytes are not those that were made.
        """
        made = self._refs.find(self._station)
        if made is not None and held is not None and made.manifest.digest == held.predictions:
            return None
        told = made.manifest.content.get("states") if made is not None else None
        if made is None or told is None or told["checkpoint"] != checkpoint:
            found = "none" if made is None else f"{short(made.manifest.digest)}, which has " + (
                "no states" if told is None else f"those of checkpoint {short(told['checkpoint'])}"
            )  # fmt: skip
            raise PlatformError(
                required=f"predictions with the states of checkpoint {short(checkpoint)}, from which it answers live",
                found=found, remedy=f"mlops materialize --select 'key:\"{self._station}\"'",
            )  # fmt: skip
        made.file(STATES)
        return made


def read_states(made: Artifact, carried: Carried) -> LiveStates:
    """The states in a predictions artifact, whose bytes are compared with its manifest.

    Raises:
        PlatformError: They are gone, are not those that were made, or not of what the program carries.
    """
    states = States.read(made.file(STATES), carried)
    return LiveStates(predictions=made.manifest.digest, made_at=made.manifest.produced.at, states=states)


def write_states(folder: Path, scorer: Scorer, checkpoint: str, earlier: pl.DataFrame) -> dict[str, Any]:
    """Writes the state of each entity after its last row before the day that is answered.

    Args:
        folder: Of the predictions.
        scorer: Of a program of sequences.
        checkpoint: Digest of it.
        earlier: What has happened, with the columns of the scorer's encoding.

    Returns:
        What the predictions' content tells of them, as ``states``: ``checkpoint``, ``entities`` and ``newest`` (ISO
        8601, or None).
    """
    states = last_states(scorer, earlier)
    states.write_parquet(folder / STATES, compression="zstd", statistics=False)
    newest: Any = states[TIME].max()
    told = {"checkpoint": checkpoint, "entities": states.height,
            "newest": newest.isoformat() if newest is not None else None}  # fmt: skip
    return {"states": told}
