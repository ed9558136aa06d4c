"""Which checkpoint a training begins from, where its declaration asks for the champion's.

The champion is the start of a training only when something else in its recipe changed. While all else is as it was
when the station was asked last, its own start stays: else a checkpoint that is promoted would be its own successor's
start, and an unchanged world would train again and again; so would every rollback.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from mlops_platform.errors import PlatformError
from mlops_platform.manifest import Manifest, Recipe, short
from mlops_platform.resources.artifacts import ArtifactStore
from mlops_platform.resources.history import REHEARSAL, PromotionHistory
from mlops_platform.resources.refs import Refs

ROLE = "warm_start"


def start_input(refs: Refs, history: PromotionHistory, recipe: Recipe, dataset: Manifest) -> Mapping[str, str]:
    """The further input of a warm-started recipe.

    Args:
        refs: Of the home.
        history: Of the model.
        recipe: All else of it.
        dataset: That it trains on.

    Returns:
        The digest of the checkpoint to begin from, by its role; nothing where none is, or was, live.

    Raises:
        PlatformError: The champion has seen rows of the dataset's holdout.
    """
    had = refs.recipe(recipe.station)
    if had is not None and _but_for_start(had).key == recipe.key:
        return {role: digest for role, digest in had.inputs.items() if role == ROLE}
    live = _champion(history)
    if live is None:
        return {}
    _require_unseen_holdout(refs.store, refs.store.open("checkpoint", live).manifest, dataset)
    return {ROLE: live}


def known_until(dataset: Manifest, checkpoint: Manifest) -> str:
    """Latest known time of a label that decided a checkpoint or any that it began from, ISO 8601.

    Args:
        dataset: That the checkpoint was trained on.
        checkpoint: Which notes what came before it.
    """
    own, begun = str(dataset.content["trained_until"]), checkpoint.content.get(ROLE)
    return max(own, str(begun["known_until"]), key=datetime.fromisoformat) if begun else own


def _but_for_start(recipe: Recipe) -> Recipe:
    return replace(recipe, inputs={role: digest for role, digest in recipe.inputs.items() if role != ROLE})


def _champion(history: PromotionHistory) -> str | None:
    """Checkpoint that is live; a rehearsal, which moves the alias there and back, changes nothing."""
    moves = [move for move in history.moves() if move.action != REHEARSAL]
    return moves[-1].checkpoint if moves and moves[-1].champion is not None else None


def _require_unseen_holdout(store: ArtifactStore, champion: Manifest, dataset: Manifest) -> None:
    learned_from = store.open("dataset", champion.recipe.inputs["dataset"]).manifest
    until, begins = known_until(learned_from, champion), str(dataset.content["holdout_start"])
    if datetime.fromisoformat(until) > datetime.fromisoformat(begins):
        raise PlatformError(
            required=f"a warm start from a checkpoint that saw nothing of the holdout, which begins at {begins}",
            found=f"the champion {short(champion.digest)} learned from labels known until {until}",
            remedy="declare Network(warm_start=False) until a champion is older than the holdout, or a shorter holdout",
        )  # fmt: skip
