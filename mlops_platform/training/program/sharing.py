"""A learner of several processes: gradients, sums and answers are those of the whole batch and of all rows."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning.strategies import ModelParallelStrategy
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from mlops_platform.spec import Network
from mlops_platform.training.job import Job
from mlops_platform.training.program.learner import Learner
from mlops_platform.training.program.loader import Batch, ShuffledBatches
from mlops_platform.training.program.network import ScoringProgram
from mlops_platform.training.program.pieces import InPieces
from mlops_platform.training.program.rank import Rank
from mlops_platform.training.program.recurrent import RecurrentLearner, require_one
from mlops_platform.training.program.sequences import Windows
from mlops_platform.training.program.strategy import (
    chance_of,
    compile_network,
    require_shareable,
    sharded_modules,
)
from mlops_platform.training.record import Epoch

_POLICIES = {
    "bf16-mixed": MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32),
}
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def learner_of(
    job: Job, program: ScoringProgram, batches: ShuffledBatches | Windows, report: Callable[[Epoch], None], rank: Rank
) -> Learner:
    """The learner of a job, for one process or several; its network is compiled where that is declared.

    Raises:
        TrainingError: Several processes cannot share the network, or nothing is there to compile it.
    """
    require_shareable(program.network, rank, job.network.module)
    chance_of(job.network.seed, rank)
    if job.device.compile:
        compile_network(program.network)
    whole, steps = job.pieces == 1, job.network.epochs * len(batches)
    if isinstance(batches, Windows):
        require_one(rank)
        return RecurrentLearner(program, job.network, steps, report)
    if rank.world > 1:
        learner: Learner = (SharedLearner if whole else SharedInPieces)(program, job.network, batches, report)
    else:
        learner = (Learner if whole else InPieces)(program, job.network, steps, report)
    if isinstance(learner, InPieces):
        learner.pieces = job.pieces
    return learner


class SharedLearner(Learner):
    """As ``Learner``, by several processes; all come to the same figures, and the first one has the best weights."""

    def __init__(
        self, program: ScoringProgram, recipe: Network, batches: ShuffledBatches, report: Callable[[Epoch], None]
    ) -> None:
        """Takes what is learnt, how, and from what.

        Args:
            program, recipe, report: As of ``Learner``.
            batches: This process's parts of them.
        """
        super().__init__(program, recipe, recipe.epochs * len(batches), report)
        self._batches = batches

    def configure_model(self) -> None:
        """Shards the network among the processes, where that is the strategy."""
        if not isinstance(self.trainer.strategy, ModelParallelStrategy) or isinstance(self.program.network, FSDPModule):
            return
        # Few networks end without a squeeze, and nothing here changes its answer in place.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
        assert self.device_mesh is not None
        mesh = self.device_mesh["data_parallel"]
        policy = _POLICIES.get(str(self.trainer.precision), MixedPrecisionPolicy())
        for part in [*sharded_modules(self.program.network), self.program.network]:
            fully_shard(part, mesh=mesh, mp_policy=policy)

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        """As of ``Learner``; what is returned is weighed, so that the processes' mean is the mean over the batch."""
        return super().training_step(batch, index) * self._batches.weight(index)

    def _sums(self) -> tuple[float, int]:
        loss, seen = (sum(parts) for parts in zip(*self._everyones_sums(), strict=True))
        return loss, int(seen)

    def _everyones_sums(self) -> list[list[float]]:
        """Loss and rows of the epoch so far, by rank."""
        seen = torch.tensor(float(self._seen), dtype=torch.float64, device=self.device)
        found: list[list[float]] = self._gathered(torch.stack([self._loss.to(self.device), seen])).tolist()
        return found

    def _validated(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The answers to all validation rows in stored order, and their labels, in every process."""
        answers, label = super()._validated()
        return self._everyones(answers), self._everyones(label)

    def _everyones(self, own: torch.Tensor) -> torch.Tensor:
        """The rows of all processes, one after the other; their numbers of rows differ by one at most."""
        rows = self._gathered(torch.tensor(len(own), device=self.device)).tolist()
        padded = torch.zeros((max(rows), *own.shape[1:]), dtype=own.dtype, device=own.device)
        padded[: len(own)] = own
        return torch.cat([part[:count] for part, count in zip(self._gathered(padded), rows, strict=True)])

    def _gathered(self, own: torch.Tensor) -> torch.Tensor:
        """A tensor of each process, [processes, ...]."""
        found = [torch.empty_like(own) for _ in range(self.trainer.world_size)]
        torch.distributed.all_gather(found, own)
        return torch.stack(found)

    def _state(self) -> dict[str, torch.Tensor]:
        """The whole weights, in the first process."""
        whole = get_model_state_dict(self.program, options=_WHOLE)
        tensors = {name: value.clone() for name, value in whole.items() if isinstance(value, torch.Tensor)}
        return tensors if self.global_rank == 0 else {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As of ``Learner``, with the sums of each process."""
        super().on_save_checkpoint(checkpoint)
        sums = self._everyones_sums()
        loss, seen = (sum(parts) for parts in zip(*sums, strict=True))
        checkpoint["learner"] |= {"loss": torch.tensor(loss, dtype=torch.float64), "seen": int(seen), "sums": sums}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As of ``Learner``; among another number of processes, the first one has all sums."""
        super().on_load_checkpoint(checkpoint)
        known = checkpoint["learner"]
        total = [float(known["loss"]), known["seen"]]
        sums = known.get("sums", [total])
        if len(sums) != self.trainer.world_size:
            sums = [total, *([[0.0, 0]] * (self.trainer.world_size - 1))]
        loss, seen = sums[self.global_rank]
        self._loss, self._seen = torch.tensor(loss, dtype=torch.float64), int(seen)


class SharedInPieces(InPieces, SharedLearner):
    """By several processes, each of which learns its part of a batch in pieces."""
