"""Nothing that is no number is saved, so that the newest save of a training whose loss went wrong is a good one."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as lightning
import torch
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm

from mlops_platform.errors import TrainingError
from mlops_platform.training.attempts import saved
from mlops_platform.training.job import Job
from mlops_platform.training.program.learner import Learner

CHECK = "loss_is_finite"


class FiniteSaves(lightning.Callback):
    """Looks at loss and weights before a state is saved; between two of the learner's looks, a bad one would be."""

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Refuses to save.

        Raises:
            TrainingError: The loss since the epoch began, or a weight, is no number.
        """
        assert isinstance(pl_module, Learner)
        pl_module.require_numbers()
        weights = [weight.detach() for weight in pl_module.parameters()]
        shards = [weight.to_local() if isinstance(weight, DTensor) else weight for weight in weights]
        # Of a small weight some processes have a shard of nothing.
        own = get_total_norm([shard for shard in shards if shard.numel()], norm_type=float("inf"))
        if not torch.isfinite(trainer.strategy.reduce(own, reduce_op="max")):
            raise TrainingError(
                required="finite weights", check=CHECK,
                found=f"NaN or infinite ones in epoch {trainer.current_epoch + 1}, step {trainer.global_step}, "
                "after a step whose loss was a number", remedy="lower Network.learning_rate, or look for a function in "
                "the network whose gradient is infinite where its value is not",
            )  # fmt: skip


@contextlib.contextmanager
def naming_the_save(job: Job) -> Iterator[None]:
    """Adds to the error of a loss that is no number which save is kept from before.

    Raises:
        TrainingError: The loss is no number.
    """
    try:
        yield
    except TrainingError as error:
        if error.check != CHECK or job.saves is None:
            raise
        names = saved(job.saves)
        kept = f"save {names[0]} from before is kept" if names else "no save was taken before"
        raise TrainingError(required=error.required, found=f"{error.found}; {kept}", remedy=error.remedy,
                            check=CHECK) from error  # fmt: skip
