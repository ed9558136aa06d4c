"""Shards: each process saves its own part of weights and optimizer, and any number of processes goes on from them.

torch's own sharded checkpoints (``torch.distributed.checkpoint``) describe themselves in a pickle, which nothing here
loads. FSDP2 cuts every tensor along its first dimension, in the order of the ranks; so a part is a plain tensor, and
the parts joined are what one process would have saved.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.strategies import ModelParallelStrategy
from torch.distributed.tensor import DTensor, distribute_tensor

from mlops_platform.errors import CorruptArtifactError

PARTED = ("state_dict", "optimizer_states")
"""What of a training's state is in parts."""
_PART = "part"
_WAIT_SECONDS = 600.0
_POLL_SECONDS = 0.02


class ShardedStrategy(ModelParallelStrategy):
    """FSDP2 that tells and takes states as ``state.taken`` and ``state.Restored`` have them; it gathers nothing."""

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """This process's parts of the weights."""
        assert self.lightning_module is not None
        return parted(self.lightning_module.state_dict())

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """This process's parts of an optimizer's state."""
        return parted(optimizer.state_dict())

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Takes this process's parts of a state whose tensors are whole."""
        assert self.lightning_module is not None
        state = self.checkpoint_io.load_checkpoint(checkpoint_path)
        mine = self.lightning_module.state_dict()
        self.lightning_module.load_state_dict({name: _like(mine[name], whole)
                                               for name, whole in state["state_dict"].items()})  # fmt: skip
        for optimizer, found in zip(self.optimizers, state["optimizer_states"], strict=True):
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            each = {place: {name: _like(weights[place], value) for name, value in kept.items()}
                    for place, kept in found["state"].items()}  # fmt: skip
            optimizer.load_state_dict({**found, "state": each})
        return state


def parted(state: Any) -> Any:
    """A nested state whose sharded tensors are replaced by this process's parts of them, marked as such."""
    if isinstance(state, DTensor):
        return {_PART: state.to_local()}
    if isinstance(state, dict):
        return {name: parted(value) for name, value in state.items()}
    if isinstance(state, list):
        return [parted(value) for value in state]
    return state


def joined(states: Sequence[Any]) -> Any:
    """The nested state that was parted, whole: the inverse of ``parted`` over all ranks.

    Args:
        states: Of every process, by rank.
    """
    first = states[0]
    if isinstance(first, dict):
        if first.keys() == {_PART}:
            return torch.cat([state[_PART] for state in states])
        return {name: joined([state[name] for state in states]) for name in first}
    if isinstance(first, list):
        return [joined(values) for values in zip(*states, strict=True)]
    return first


def file_of(rank: int) -> str:
    """Name of the file of a rank's part in a save."""
    return f"shard-{rank}.pt"


def taken_apart(
    trainer: lightning.Trainer, state: dict[str, Any], saves: Path
) -> "tuple[dict[str, Any], Handing] | None":
    """Takes this process's part out of a state, where the training is sharded; every process calls it.

    Args:
        trainer: Of the training.
        state: As ``state.taken`` gives it; loses the part.
        saves: Folder of the saves, which all processes share.

    Returns:
        The part, and the way it goes; None where every process has the whole.
    """
    if not isinstance(trainer.strategy, ShardedStrategy):
        return None
    token = trainer.strategy.broadcast(time.time_ns())
    return {name: state.pop(name) for name in PARTED}, Handing(saves, token, trainer.world_size)


class Handing:
    """How the parts of one save reach the process that commits it: by files beside the saves, named last by digest.

    The processes write in threads, which must not talk over the process group while the training does.
    """

    def __init__(self, saves: Path, token: int, ranks: int) -> None:
        """Takes the place.

        Args:
            saves: Folder of the saves, which all processes share.
            token: Of this save, the same in each.
            ranks: How many processes there are.
        """
        self._folder = saves / f".writing-shards-{token}"
        self._ranks = range(ranks)

    def give(self, rank: int, write: Callable[[Path], str]) -> None:
        """Writes a part.

        Args:
            rank: Whose.
            write: Writes a file and returns its digest.
        """
        self._folder.mkdir(exist_ok=True)
        digest = write(self._folder / file_of(rank))
        draft = self._folder / f"{rank}.draft"
        draft.write_text(json.dumps(digest), encoding="utf-8")
        draft.rename(self._folder / f"{rank}.json")

    def take(self, target: Path) -> dict[str, str]:
        """Moves the parts of all ranks to a folder, as soon as they are there; their digests by name.

        Raises:
            RuntimeError: Some did not come; their processes are gone, or the folder is not shared.
        """
        until = time.monotonic() + _WAIT_SECONDS
        while missing := [rank for rank in self._ranks if not (self._folder / f"{rank}.json").exists()]:
            if time.monotonic() > until:
                raise RuntimeError(
                    f"required: a part of each of {len(self._ranks)} processes, found: none of {missing}"
                )
            time.sleep(_POLL_SECONDS)
        digests = {}
        for rank in self._ranks:
            (self._folder / file_of(rank)).rename(target / file_of(rank))
            told = self._folder / f"{rank}.json"
            digests[file_of(rank)] = json.loads(told.read_text(encoding="utf-8"))
            told.unlink()
        self._folder.rmdir()
        return digests


def whole(state: dict[str, Any], parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A saved state with the parts of all processes in it.

    Raises:
        CorruptArtifactError: They do not fit together.
    """
    try:
        return {**state, **joined(parts)}
    except (RuntimeError, KeyError, ValueError, AttributeError, TypeError) as error:
        raise CorruptArtifactError(
            required=f"{len(parts)} parts of one state", found=f"{type(error).__name__}: {error}",
            remedy="the save before it is used",
        ) from error  # fmt: skip


def _like(mine: Any, whole: Any) -> Any:
    """A whole tensor, cut as mine is; whatever is of another shape than mine, as a count of steps, stays whole."""
    if isinstance(mine, DTensor) and isinstance(whole, torch.Tensor) and whole.shape == mine.shape:
        # Every process has the whole: nothing is sent.
        return distribute_tensor(whole.to(mine.device), mine.device_mesh, mine.placements, src_data_rank=None)
    return whole
