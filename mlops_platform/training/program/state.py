"""The whole state of a training at one moment: what is taken of Lightning's trainer, and how it is put back.

Lightning's own counters resume from few moments only, and wrongly from others without a word (a checkpoint written
after the last batch of an epoch loses that epoch's validation, one written as an epoch starts loses the epoch). So a
state here is always of one of three places, and the counters are brought to what Lightning has at just that place:
between two batches, before an epoch's validation, or before an epoch.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytorch_lightning as lightning
import torch
from lightning_fabric.plugins import CheckpointIO

_SCOPES = ("total", "current")
_BATCHES, _LOOP = "epoch_loop.batch_progress", "epoch_loop.state_dict"
_VALIDATION = "epoch_loop.val_loop.batch_progress"


@dataclass(frozen=True)
class Place:
    """Where a training stands.

    Attributes:
        epoch: That is at work, from 0; all of them where training is over.
        delivered: Batches of it that are learnt; all of them before its validation, none before the epoch.
        step: Optimizer steps that are done.
        steps: Of the whole training.
    """

    epoch: int
    delivered: int
    step: int
    steps: int


def taken(trainer: lightning.Trainer, place: Place) -> dict[str, Any]:
    """The state that the processes share; every process calls it, as sharded weights are gathered.

    Args:
        trainer: After a batch or before an epoch.
        place: Which of those it is.

    Returns:
        Weights, optimizers, schedulers, precision, callbacks, the module's own, and the loops' counters; its tensors
        are those at work.
    """
    state = trainer._checkpoint_connector.dump_checkpoint()
    state["loops"] = {"fit_loop": _counters(trainer, place)}
    return state


def _counters(trainer: lightning.Trainer, place: Place) -> dict[str, Any]:
    told = trainer.fit_loop.state_dict()
    # The loader is put back by its own state; Lightning does so only in the middle of an epoch.
    told["state_dict"].pop("combined_loader", None)
    if place.delivered == 0:
        for scope in _SCOPES:
            _even(told["epoch_progress"][scope], "processed")
        return told
    for scope in _SCOPES:
        _even(told[_BATCHES][scope], "processed")
    before_validation = place.delivered == trainer.num_training_batches
    told[_BATCHES]["is_last_batch"] = before_validation
    if before_validation:
        # One begun and none done: what Lightning takes for an evaluation that was broken off.
        for scope, count in zip(_SCOPES, (1, 0), strict=True):
            told[_VALIDATION][scope] = {"ready": count, "started": count, "processed": 0, "completed": 0}
        told[_VALIDATION]["is_last_batch"] = False
    else:
        told[_LOOP]["_batches_that_stepped"] += 1
    return told


def _even(counters: dict[str, int], name: str) -> None:
    for other in counters:
        counters[other] = counters[name]


class Restored(CheckpointIO):
    """Hands a state that was read and verified to Lightning, which reads and writes no file of its own."""

    def __init__(self, state: dict[str, Any]) -> None:
        self._state = state

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Refuses: saves are written elsewhere."""
        raise NotImplementedError("required: mlops_platform.training.program.saves writes saves")

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """The state, whatever the path."""
        return self._state

    def remove_checkpoint(self, path: str | Path) -> None:
        """Refuses: saves are removed elsewhere."""
        raise NotImplementedError("required: mlops_platform.training.program.saves removes saves")


def chances() -> dict[str, torch.Tensor]:
    """The state of every random number generator of this process, as tensors of constant shapes."""
    version, words, gauss = random.getstate()
    numbers = cast(tuple[Any, ...], np.random.get_state(legacy=True))
    found = {
        "python": torch.tensor([version, *words], dtype=torch.int64),
        "python_gauss": _optional(gauss),
        "numpy": torch.tensor([*numbers[1].tolist(), *numbers[2:4]], dtype=torch.int64),
        "numpy_gauss": torch.tensor([numbers[4]], dtype=torch.float64),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_initialized():
        found["cuda"] = torch.cuda.get_rng_state()
    return found


def set_chances(found: Mapping[str, torch.Tensor]) -> None:
    """Puts every generator of this process where ``chances`` found it."""
    version, *words = found["python"].tolist()
    known, gauss = found["python_gauss"].tolist()
    random.setstate((version, tuple(words), gauss if known else None))
    *keys, position, has_gauss = found["numpy"].tolist()
    legacy = ("MT19937", np.array(keys, dtype=np.uint32), position, has_gauss, found["numpy_gauss"].item())
    np.random.set_state(legacy)
    torch.set_rng_state(found["torch"])
    if "cuda" in found and torch.cuda.is_available():
        torch.cuda.set_rng_state(found["cuda"])


def _optional(value: float | None) -> torch.Tensor:
    return torch.tensor([value is not None, value or 0.0], dtype=torch.float64)


def gathered(trainer: lightning.Trainer, own: Mapping[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """The generators of every process, by rank; every process calls it."""
    if trainer.world_size == 1:
        return [dict(own)]
    every = {name: trainer.strategy.all_gather(value.to(trainer.strategy.root_device)) for name, value in own.items()}
    # A part of a larger tensor is no state of a generator: torch would read past its end.
    return [{name: values[rank].cpu().clone() for name, values in every.items()} for rank in range(trainer.world_size)]


class Copies:
    """Copies a state into memory of the CPU that is used for the next copy again."""

    def __init__(self) -> None:
        self._kept: dict[str, torch.Tensor] = {}
        self._copied: torch.cuda.Event | None = None

    def take(self, state: Any) -> Any:
        """The state as it is now.

        Copies from a GPU are queued behind the work that changes the tensors and before what follows, so nothing waits
        for them here; ``wait`` does.

        Args:
            state: Nested dictionaries, lists and tuples of tensors and plain values.
        """
        copy = self._copy(state, "")
        if torch.cuda.is_initialized():
            self._copied = torch.cuda.Event()
            self._copied.record()
        return copy

    def wait(self) -> None:
        """Returns when the last copy is whole."""
        if self._copied is not None:
            self._copied.synchronize()

    def _copy(self, value: Any, path: str) -> Any:
        if isinstance(value, torch.Tensor):
            return self._tensor(value.detach(), path)
        if isinstance(value, Mapping):
            return {key: self._copy(inner, f"{path}/{key}") for key, inner in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self._copy(inner, f"{path}/{place}") for place, inner in enumerate(value))
        return value

    def _tensor(self, tensor: torch.Tensor, path: str) -> torch.Tensor:
        kept = self._kept.get(path)
        if kept is None or kept.shape != tensor.shape or kept.dtype != tensor.dtype:
            kept = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
            self._kept[path] = kept
        return kept.copy_(tensor, non_blocking=True)
