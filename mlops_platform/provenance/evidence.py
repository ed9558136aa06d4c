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
        checkpoint, dataset: Manifests.
        evaluation: The one on which it was judged, else the newest one of that checkpoint.
        verdict: The gate's, by which it was let through, else the newest one on that evaluation.
        tuning: The tuning whose best values the training took, if its declaration points to one.
        starts: The checkpoint that its training began from, then the one that this began from, and so on.
        missing: What is not recorded, in words.
    """

    moves: list[Move]
    checkpoint: Manifest
    dataset: Manifest
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
        MissingArtifactError: The checkpoint or its dataset is not there.
    """
    store = ArtifactStore(home)
    checkpoint = store.open("checkpoint", row["checkpoint"]).manifest
    dataset = store.open("dataset", checkpoint.recipe.inputs["dataset"]).manifest
    every = PromotionHistory(home, project.name, model.name).moves()
    moves = [move for move in every if move.challenger == row["checkpoint"] and move.action in DECISIONS]
    verdict, lost = _verdict(home, project, model, store, moves, row["checkpoint"])
    evaluation, unjudged = _evaluation(home, project, model, store, verdict, row["checkpoint"])
    starts, gone = _starts(store, checkpoint)
    tuning, untold = _tuning(store, checkpoint)
    undecided = [] if moves else ["any decision about this version: no one is in the promotion history"]
    return Evidence(moves=moves, checkpoint=checkpoint, dataset=dataset, evaluation=evaluation, verdict=verdict,
                    tuning=tuning, starts=starts, missing=[*undecided, *lost, *unjudged, *gone, *untold])  # fmt: skip


def _verdict(home: Home, project: Project, model: Model, store: ArtifactStore, moves: list[Move],
             checkpoint: str) -> tuple[Manifest | None, list[str]]:  # fmt: skip
    """The verdict of the newest decision that names one."""
    named = [move.verdict for move in moves if move.verdict is not None]
    if not named:
        found = Refs(home).find(f"{project.name}/{model.name}/gate")
        own = found is not None and found.manifest.content.get("challenger_checkpoint") == checkpoint
        return (found.manifest if found and own else None), []
    return _opened(store, "verdict", named[-1], "the gate's verdict")


def _evaluation(home: Home, project: Project, model: Model, store: ArtifactStore, verdict: Manifest | None,
                checkpoint: str) -> tuple[Manifest | None, list[str]]:  # fmt: skip
    if verdict is not None and "evaluation" in verdict.recipe.inputs:
        return _opened(store, "evaluation", verdict.recipe.inputs["evaluation"], "the evaluation")
    found = Refs(home).find(f"{project.name}/{model.name}/evaluation")
    own = found is not None and found.manifest.recipe.inputs.get("checkpoint") == checkpoint
    return (found.manifest if found and own else None), []


def _opened(store: ArtifactStore, kind: str, digest: str, what: str) -> tuple[Manifest | None, list[str]]:
    """A manifest, or, in words, that the store no longer has it."""
    try:
        return store.open(kind, digest).manifest, []
    except MissingArtifactError as error:
        return None, [f"{what} {short(digest)}: {error.found}"]


def _starts(store: ArtifactStore, checkpoint: Manifest) -> tuple[list[Manifest], list[str]]:
    """The checkpoints that warm starts go back to, newest first, and what of them the store no longer has."""
    starts: list[Manifest] = []
    while (digest := (starts[-1] if starts else checkpoint).recipe.inputs.get("warm_start")) is not None:
        start, lost = _opened(store, "checkpoint", digest, "the checkpoint")
        if start is None:
            return starts, [f"{text} (a training began from it)" for text in lost]
        starts.append(start)
    return starts, []


def _tuning(store: ArtifactStore, checkpoint: Manifest) -> tuple[Manifest | None, list[str]]:
    """The tuning that a checkpoint took its values from, or that the store no longer has it."""
    digest = checkpoint.recipe.inputs.get("tuning")
    return (None, []) if digest is None else _opened(store, "tuning", digest, "the tuning that values come from,")
