"""How several processes share a training: which there are, what Lightning is told, and what they cannot train.

The processes are started by whoever launches the program, which tells each its place by torchrun's variables. Every one
reads the dataset and learns its part of each batch, with gradients that are those of the mean over the whole batch.
"""

import os
import shutil
from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning.plugins.environments import TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mlops_platform.errors import TrainingError
from mlops_platform.training.job import Device
from mlops_platform.training.program.rank import Rank
from mlops_platform.training.program.shards import ShardedStrategy


def launched(device: Device) -> Rank:
    """This process's place, as its launcher told it.

    Raises:
        TrainingError: The processes are not as many as the job's devices.
    """
    rank = Rank.here()
    if rank.world != device.devices * device.nodes:
        raise TrainingError(
            required=f"{device.devices * device.nodes} processes, one for each device of each node",
            found=f"WORLD_SIZE is {rank.world}",
            remedy="let the launcher torchrun, ray or kubernetes start it, or declare one device on one node",
        )  # fmt: skip
    return rank


def trainer_options(device: Device, rank: Rank) -> dict[str, Any]:
    """What Lightning's trainer is told about the processes; nothing where there is one.

    Args:
        device: Of the job.
        rank: Of this process.
    """
    if rank.world == 1:
        return {}
    backend = "nccl" if device.accelerator == "cuda" else "gloo"
    strategy: DDPStrategy | ShardedStrategy
    if device.strategy == "ddp":
        strategy = DDPStrategy(process_group_backend=backend)
    else:
        strategy = ShardedStrategy(data_parallel_size=rank.world, tensor_parallel_size=1, process_group_backend=backend)
    return {"strategy": strategy, "num_nodes": device.nodes, "plugins": [TorchElasticEnvironment()]}


def require_shareable(network: nn.Module, rank: Rank, module: str) -> None:
    """Refuses a network of which several processes would learn another one than one process.

    Args:
        network: With fresh weights.
        rank: Of this process, among those that are to share its training.
        module: What it is called.

    Raises:
        TrainingError: It normalises by the batch: each process would do so by its own part, and torch's SyncBatchNorm
            does not work on a CPU.
    """
    found = [name for name, child in network.named_modules() if isinstance(child, _BatchNorm)]
    if rank.world > 1 and found:
        raise TrainingError(
            required=f"a network without batch normalisation for {rank.world} processes, each of which has only "
            "its own part of a batch", found=f"{', '.join(found)} in {module}",
            remedy="use nn.LayerNorm or nn.GroupNorm, or declare one device on one node",
        )  # fmt: skip


def chance_of(seed: int, rank: Rank) -> None:
    """Gives each process but the first chance of its own, once all have built equal weights.

    Else the dropout of each would leave out the same places.
    """
    if rank.number > 0:
        torch.manual_seed((seed * 1_000_003 + rank.number) % 2**63)


def compile_network(network: nn.Module, variables: Mapping[str, str] = os.environ) -> None:
    """Has a network compiled when it is called first; its weights keep their names.

    Raises:
        TrainingError: There is no C++ compiler, which torch's inductor writes its code for.
    """
    compiler = variables.get("CXX", "g++")
    if shutil.which(compiler, path=variables.get("PATH")) is None:
        raise TrainingError(
            required="a C++ compiler, for torch.compile", found=f"no {compiler} on the PATH",
            remedy="install g++, name one by CXX, or declare Compute(compile=False)",
        )  # fmt: skip
    network.compile()


def sharded_modules(network: nn.Module) -> list[nn.Module]:
    """The parts of a network whose weights are gathered one after the other, so that never all of them are whole.

    Each child that can be called and has weights of its own is one. Containers, which cannot, are gone into; weights
    that several children share stay with the whole network.
    """
    owners: dict[int, int] = {}
    for child in network.children():
        for weight in child.parameters():
            owners[id(weight)] = owners.get(id(weight), 0) + 1
    found: list[nn.Module] = []
    for child in network.children():
        weights = [id(weight) for weight in child.parameters()]
        if not weights or any(owners[weight] > 1 for weight in weights):
            continue
        found += sharded_modules(child) if isinstance(child, nn.ModuleList | nn.ModuleDict) else [child]
    return found
