"""How the pulse hears of the steps that Lightning takes."""

import time
from typing import Any

import pytorch_lightning as lightning

from mlops_platform.training.program.pulse import Progress, Pulse
from mlops_platform.training.program.sequences import Window


class Steps(lightning.Callback):
    """Tells a pulse of every step; what a line of progress needs is put together only when one is said."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._done = self._rows = self._epochs = self._steps = 0
        self._world = 1
        self._seconds = self._since = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begins the clock: a training that is resumed may begin in the middle of an epoch."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begins the clock, which stands still while the network is validated."""
        self._epochs, self._steps = int(trainer.max_epochs or 0), int(trainer.num_training_batches)
        self._world, self._since = trainer.world_size, time.monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Notes where it is."""
        now = time.monotonic()
        self._done += 1
        self._rows += (batch.known if isinstance(batch, Window) else len(batch[-1])) * self._world
        self._seconds += now - self._since
        self._since = now
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        self._pulse.step(Progress(trainer.current_epoch + 1, self._epochs, batch_idx + 1, self._steps, self._done,
                                  self._rows, self._seconds, loss))  # fmt: skip

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Notes that steps rest."""
        self._pulse.phase(f"the validation of epoch {trainer.current_epoch + 1}")

    def on_validation_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any,
        batch_idx: int, dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Notes that it gets on."""
        self._pulse.phase(f"the validation of epoch {trainer.current_epoch + 1}")
