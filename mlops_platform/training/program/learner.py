"""How a network learns: the platform's LightningModule, the same for every model."""

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig

from mlops_platform.errors import TrainingError
from mlops_platform.spec import Network
from mlops_platform.training.program.loader import Batch
from mlops_platform.training.program.network import ScoringProgram
from mlops_platform.training.program.objective import objective_of
from mlops_platform.training.record import Epoch

LOOK_EVERY = 50
"""Steps between two looks at the loss."""


class Learner(lightning.LightningModule):
    """AdamW under a one-cycle schedule over a constant number of steps; keeps the weights of the best epoch.

    Attributes:
        curves: The epochs so far.
        best: Weights after the epoch of lowest validation loss, on the CPU.
    """

    def __init__(self, program: ScoringProgram, recipe: Network, steps: int, report: Callable[[Epoch], None]) -> None:
        """Takes what is learnt and how.

        Args:
            program: The scorer whose weights are trained.
            recipe: Learning rate, weight decay.
            steps: Of the whole training, so that a resumed schedule is the same one.
            report: Hears of each epoch.
        """
        super().__init__()
        self.program = program
        self._objective = objective_of(program)
        self._recipe = recipe
        self._steps = steps
        self._report = report
        self._loss = torch.zeros((), dtype=torch.float64)
        self._seen = 0
        self._answers: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.curves: list[Epoch] = []
        self.best: dict[str, torch.Tensor] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        """Sets an attribute; what Lightning notes at each hook goes past the search for parameters."""
        # Some fifty times a step, a quarter of what its loop costs.
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def on_train_epoch_start(self) -> None:
        """Begins the epoch's mean."""
        self._loss = torch.zeros((), dtype=torch.float64, device=self.device)
        self._seen = 0

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        """One step.

        Args:
            batch: numeric float32 [B, F], categories int64 [B, C], label float32 [B] or [B, H].
            index: Of the batch in the epoch.

        Returns:
            The mean loss, a scalar.

        Raises:
            TrainingError: The loss is no longer a number.
        """
        numeric, categories, label = batch
        logits = self.program.logits(numeric, categories)
        self._objective.require_shape(logits, label, self._recipe.module)
        loss = self._objective.loss(logits, label)
        self._loss.add_(loss.detach().double() * len(label))
        self._seen += len(label)
        # A look waits for the device: every step would cost it its queue; a bad loss stays bad in the sum.
        if index % LOOK_EVERY == 0:
            self._require_finite(float(self._loss), "training loss")
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Answers a batch (see ``training_step``); the epoch's end compares the answers with the labels."""
        numeric, categories, label = batch
        self._answers.append((self.program.logits(numeric, categories).float(), label))

    def on_train_epoch_end(self) -> None:
        """Notes the epoch, whose validation is over by now, and keeps its weights if it is the best."""
        logits, label = self._validated()
        loss = float(self._objective.loss(logits.double(), label.double()))
        summed, seen = self._sums()
        train = summed / seen
        self._require_finite(train, "training loss")
        self._require_finite(loss, "validation loss")
        figures = self._objective.figures(logits, label)
        if all(loss < earlier.validation_loss for earlier in self.curves):
            self.best = self._state()
        self.curves.append(Epoch(self.current_epoch, train, loss, **figures))
        self._report(self.curves[-1])

    def _validated(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The answers to the validation rows in stored order, and their labels; forgets them."""
        answers, label = (torch.cat(parts) for parts in zip(*self._answers, strict=True))
        self._answers = []
        return answers, label

    def _sums(self) -> tuple[float, int]:
        """The loss of the epoch's rows so far, and how many they are."""
        return float(self._loss), self._seen

    def _state(self) -> dict[str, torch.Tensor]:
        """A copy of the weights on the CPU."""
        return {name: value.detach().cpu().clone() for name, value in self.program.state_dict().items()}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what this module knows beside its weights."""
        checkpoint["learner"] = {
            "loss": self._loss, "seen": self._seen, "curves": [asdict(epoch) for epoch in self.curves],
            "best": self.best,
        }  # fmt: skip

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on from what ``on_save_checkpoint`` added."""
        known = checkpoint["learner"]
        self._loss, self._seen, self.best = known["loss"], known["seen"], known["best"]
        self.curves = [Epoch(**epoch) for epoch in known["curves"]]

    def on_train_start(self) -> None:
        """Takes a restored sum to the device, which is known by now."""
        self._loss = self._loss.to(self.device)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimizer and its schedule, moved on at every step."""
        rate = self._recipe.learning_rate
        optimizer = torch.optim.AdamW(self.parameters(), lr=rate, weight_decay=self._recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=max(self._steps, 2))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def require_numbers(self) -> None:
        """Looks at the loss since the epoch began.

        Raises:
            TrainingError: It is no longer a number.
        """
        self._require_finite(float(self._loss), "training loss")

    def _require_finite(self, value: float, what: str) -> None:
        if not math.isfinite(value):
            raise TrainingError(
                required=f"a finite {what}",
                found=f"{value} in epoch {self.current_epoch + 1}, step {self.global_step}",
                remedy=f"lower Network.learning_rate ({self._recipe.learning_rate}), "
                f"or look for a division by zero in {self._recipe.module}", check="loss_is_finite",
            )  # fmt: skip
