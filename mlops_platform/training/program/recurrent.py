"""How a network of sequences learns: truncated backpropagation through time, by manual optimization.

Each window is one step of the optimizer. Its state goes on to the next window as numbers, without the graph that made
it (R. Williams and J. Peng, Neural Computation 2, 1990, call it truncated BPTT(h; h') with h = h' the window), so that
memory is that of one window however long the sequences are.
"""

from typing import Any, cast

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from mlops_platform.errors import TrainingError
from mlops_platform.training.program.learner import LOOK_EVERY, Learner
from mlops_platform.training.program.rank import Rank
from mlops_platform.training.program.sequences import Window, known_rows
from mlops_platform.training.program.stepping import answers, initial_state

CLIP = 1.0
"""Largest norm of the gradients of a step."""

_STATE = "carried"
_SCALED = "16-mixed"


def require_one(rank: Rank) -> None:
    """Refuses several processes: sequences go side by side in one.

    Raises:
        TrainingError: There are several.
    """
    if rank.world > 1:
        raise TrainingError(
            required="one process for a network of sequences", found=f"{rank.world}",
            remedy="ask for one device on one node; Sequence.parallel tells how many sequences go side by side",
        )  # fmt: skip


class RecurrentLearner(Learner):
    """As ``Learner``, one step of the optimizer a window; the state is carried and detached here."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Takes what is learnt and how; see ``Learner``."""
        super().__init__(*args, **kwargs)
        self.automatic_optimization = False
        self._carried: Tensor | None = None
        self._checked: Tensor | None = None

    def on_fit_start(self) -> None:
        """Refuses a precision under which a window without a label could not be passed over.

        Raises:
            TrainingError: Gradients would be scaled.
        """
        if self.trainer.precision == _SCALED:
            raise TrainingError(
                required="a precision without scaled gradients for a network of sequences", found=_SCALED,
                remedy="declare Compute(precision='bf16-mixed') or '32-true'",
            )  # fmt: skip

    def training_step(self, batch: Any, index: int) -> Tensor:
        """Goes through a window: forward, backward within it, clip, step.

        Args:
            batch: A ``Window``.
            index: Of it in the epoch.

        Returns:
            The mean loss, a scalar; 0 where nothing is to be learnt.

        Raises:
            TrainingError: The network returns something else than its answers, or the loss is no number.
        """
        window: Window = batch
        optimizer = cast(LightningOptimizer, self.optimizers())
        optimizer.zero_grad()
        if window.known:
            told, self._carried = self._through(window, self._carried)
            loss = self._loss_of(told, window)
            if index % LOOK_EVERY == 0:
                self._require_finite(float(self._loss), "training loss")
            self.manual_backward(loss)
        else:
            with torch.no_grad():
                _, self._carried = self._through(window, self._carried)
            loss = self._carried.new_zeros(())
        # Without gradients a step changes nothing, but it counts: the schedule counts windows.
        optimizer.step()
        cast(LRScheduler, self.lr_schedulers()).step()
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clips the gradients; Lightning clips only where it steps by itself."""
        nn.utils.clip_grad_norm_(self.parameters(), CLIP)

    def validation_step(self, batch: Any, index: int) -> None:
        """Answers a window; the state comes through all rows before the validation's own."""
        window: Window = batch
        told, self._checked = self._through(window, self._checked)
        if window.known:
            known = known_rows(window.label, steps=2)
            self._answers.append((told[known].float(), window.label[known]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the state that is carried into the next window."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[_STATE] = self._carried

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes it back."""
        super().on_load_checkpoint(checkpoint)
        self._carried = checkpoint[_STATE]

    def _loss_of(self, told: Tensor, window: Window) -> Tensor:
        known = known_rows(window.label, steps=2)
        self._objective.require_shape(told, window.label, self._recipe.module)
        loss = self._objective.loss(told[known], window.label[known])
        self._loss += loss.detach().double() * window.known
        self._seen += window.known
        return loss

    def _through(self, window: Window, carried: Tensor | None) -> tuple[Tensor, Tensor]:
        """Answers, and the state to carry on: numbers alone."""
        if window.fresh or carried is None:
            carried = initial_state(self.program.network, len(window.label))
        before = carried.to(window.numeric.device)
        told, after = answers(self.program, window.numeric, window.categories, before)
        return told, after.detach().to(before.dtype)
