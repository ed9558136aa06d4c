"""The evidence for a model version: who decided about it, on which verdict and evaluation, and what it learned from."""

from dataclasses import dataclass
from typing import Any

from mlops_platform.errors import MissingArtifactError
from mlops_platform.manifest import Manifest, short
from mlops_platform.resources.artifacts import ArtifactStore
from mlops_platform.resources.history import DECISIONS, Move, PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.spec import Model, Project


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything behind a model version.

    Attributes:
        moves: Decisions of the promotion history that are about it, oldest first.
        checkpoint, dataset: Manifests; None where the store no longer has them.
        evaluation: The one on which it was judged, else the newest one of that checkpoint.
        verdict: The gate's, by which it was let through, else the newest one on that evaluation.
        tuning: The tuning whose best values the training took, if its declaration points to one.
        starts: The checkpoint that its training began from, then the one that this began from, and so on.
        missing: What is not recorded, in words.
    """

    moves: list[Move]
    checkpoint: Manifest | None
    dataset: Manifest | None
    evaluation: Manifest | None
    verdict: Manifest | None
    tuning: Manifest | None
    starts: list[Manifest]
    missing: list[str]


def evidence(home: Home, project: Project, model: Model, row: dict[str, Any]) -> Evidence:
    """What is behind the version that gave an answer.

    Args:
        home: Where everything is.
        project, model: The declaration.
        row: Of the prediction log.

    Raises:
        CorruptArtifactError: Something of it was edited.
    """
    store = ArtifactStore(home)
    checkpoint, removed = opened(store, "checkpoint", row["checkpoint"], "the checkpoint")
    every = PromotionHistory(home, project.name, model.name).moves()
    moves = [move for move in every if move.challenger == row["checkpoint"] and move.action in DECISIONS]
    verdict, lost = _verdict(home, project, model, store, moves, row["checkpoint"])
    evaluation, unjudged = _evaluation(home, project, model, store, verdict, row["checkpoint"])
    dataset, unknown = _dataset(store, checkpoint, evaluation)
    starts, gone = _starts(store, checkpoint) if checkpoint is not None else ([], [])
    tuning, untold = _tuning(store, checkpoint) if checkpoint is not None else (None, [])
    undecided = [] if moves else ["any decision about this version: no one is in the promotion history"]
    missing = [*undecided, *lost, *unjudged, *removed, *unknown, *gone, *untold]
    return Evidence(moves=moves, checkpoint=checkpoint, dataset=dataset, evaluation=evaluation, verdict=verdict,
                    tuning=tuning, starts=starts, missing=missing)  # fmt: skip


def _verdict(home: Home, project: Project, model: Model, store: ArtifactStore, moves: list[Move],
             checkpoint: str) -> tuple[Manifest | None, list[str]]:  # fmt: skip
    """The verdict of the newest decision that names one."""
    named = [move.verdict for move in moves if move.verdict is not None]
    if not named:
        found = standing(home, f"{project.name}/{model.name}/gate")
        own = found is not None and found.content.get("challenger_checkpoint") == checkpoint
        return (found if own else None), []
    return opened(store, "verdict", named[-1], "the gate's verdict")


def _evaluation(home: Home, project: Project, model: Model, store: ArtifactStore, verdict: Manifest | None,
                checkpoint: str) -> tuple[Manifest | None, list[str]]:  # fmt: skip
    if verdict is not None and "evaluation" in verdict.recipe.inputs:
        return opened(store, "evaluation", verdict.recipe.inputs["evaluation"], "the evaluation")
    found = standing(home, f"{project.name}/{model.name}/evaluation")
    own = found is not None and found.recipe.inputs.get("checkpoint") == checkpoint
    return (found if own else None), []


def standing(home: Home, station: str) -> Manifest | None:
    """What a station stands for now; None where it never made anything, or that was removed."""
    try:
        found = Refs(home).find(station)
    except MissingArtifactError:
        return None
    return found.manifest if found is not None else None


def opened(store: ArtifactStore, kind: str, digest: str, what: str) -> tuple[Manifest | None, list[str]]:
    """A manifest, or, in words, that the store no longer has it."""
    try:
        return store.open(kind, digest).manifest, []
    except MissingArtifactError:
        return None, [f"{what} {short(digest)}: it is not in the artifact store any more"]


def _dataset(store: ArtifactStore, checkpoint: Manifest | None, evaluation: Manifest | None
             ) -> tuple[Manifest | None, list[str]]:  # fmt: skip
    """What the checkpoint learned from; where that is gone, what its evaluation says it did."""
    named = checkpoint or evaluation
    if named is None:
        return None, ["the dataset: only the checkpoint and its evaluation say which it is"]
    return opened(store, "dataset", named.recipe.inputs["dataset"], "the dataset")


def _starts(store: ArtifactStore, checkpoint: Manifest) -> tuple[list[Manifest], list[str]]:
    """The checkpoints that warm starts go back to, newest first, and what of them the store no longer has."""
    starts: list[Manifest] = []
    while (digest := (starts[-1] if starts else checkpoint).recipe.inputs.get("warm_start")) is not None:
        start, lost = opened(store, "checkpoint", digest, "the checkpoint")
        if start is None:
            return starts, [f"{text} (a training began from it)" for text in lost]
        starts.append(start)
    return starts, []


def _tuning(store: ArtifactStore, checkpoint: Manifest) -> tuple[Manifest | None, list[str]]:
    """The tuning that a checkpoint took its values from, or that the store no longer has it."""
    digest = checkpoint.recipe.inputs.get("tuning")
    return (None, []) if digest is None else opened(store, "tuning", digest, "the tuning that values come from,")
