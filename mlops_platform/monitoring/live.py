"""What is live, and the evaluation that tells what to expect of it."""

from collections.abc import Iterable
from dataclasses import dataclass

from mlops_platform.resources.artifacts import Artifact, ArtifactStore
from mlops_platform.resources.history import Move


@dataclass(frozen=True, kw_only=True)
class Live:
    """What is live.

    Attributes:
        version: In the registry.
        checkpoint: Digest.
        evaluation: Of this checkpoint; None where none was ever judged.
    """

    version: str
    checkpoint: str
    evaluation: Artifact | None


def evaluation_of(store: ArtifactStore, moves: Iterable[Move], checkpoint: str) -> Artifact | None:
    """The evaluation by which a checkpoint was judged first, on the holdout that it was new to."""
    verdicts = (move.verdict for move in moves if move.challenger == checkpoint and move.verdict is not None)
    verdict = next(verdicts, None)
    if verdict is None:
        return None
    return store.open("evaluation", store.open("verdict", verdict).manifest.content["evaluation"])
