"""How the training program is started, here or elsewhere: one launcher a file, imported only when it is asked for."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import dagster as dg

from mlops_platform.errors import TrainingError

PROGRAM = "mlops_platform.training.program"


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One run of the training program, as a launcher is asked for it.

    Attributes:
        job: The job's file; the program finds its path among the Pipes extras under ``job``.
        accelerator: ``cpu`` or ``cuda``.
        devices: How many processes on each node, each with one device.
        nodes: How many machines.
        threads: CPU threads of each process.
        env: Variables to add to the program's environment.
        hold: Descriptors of device leases on this machine, which the program keeps open as long as it lives.
        silence_seconds: How long the program may send no message before it is ended.
        stall_seconds: How long it may say that it lives and not get on before it is ended.
        grace_seconds: How long a program that is asked to stop may take to save and go before it is killed.
        program: Module that is run.
    """

    job: Path
    accelerator: str = "cpu"
    devices: int = 1
    nodes: int = 1
    threads: int = 1
    env: Mapping[str, str] = field(default_factory=dict)
    hold: tuple[int, ...] = ()
    silence_seconds: float = 600.0
    stall_seconds: float = 3600.0
    grace_seconds: float = 30.0
    program: str = PROGRAM


class Launcher(Protocol):
    """Runs the training program to its end, wherever that is.

    Attributes:
        near: Whether it runs on this machine, whose devices are then leased for it.
    """

    near: bool

    def gpus(self) -> Mapping[str, str]:
        """Models of the GPUs that it can give a training, by whatever names them there; empty where there are none."""
        ...

    def launch(self, context: dg.AssetExecutionContext, launch: Launch) -> tuple[Mapping[str, Any], ...]:
        """Runs one job.

        Args:
            context: Of the asset; receives the program's log lines.
            launch: What is asked for.

        Returns:
            The program's messages, in order; the last one's ``event`` is ``finished``.

        Raises:
            TrainingError: The program refused the job, or failed.
            KilledError: It was killed, or was ended since it no longer reported or got on.
            SavedError: It was asked to stop, and saved.
        """
        ...


LAUNCHERS = {
    "kubernetes": "mlops_platform.resources.launchers.kubernetes:KubernetesLauncher",
    "local": "mlops_platform.resources.launchers.local:LocalLauncher",
    "ray": "mlops_platform.resources.launchers.ray:RayLauncher",
    "torchrun": "mlops_platform.resources.launchers.torchrun:TorchrunLauncher",
}
"""Class of each launcher by its name, called without arguments."""


def launcher(name: str) -> Launcher:
    """The launcher registered under a name.

    Raises:
        TrainingError: There is none.
    """
    if name not in LAUNCHERS:
        raise TrainingError(
            required=f"a launcher named {name}", found=f"only {', '.join(sorted(LAUNCHERS))}",
            remedy="take one of those",
        )  # fmt: skip
    module, _, named = LAUNCHERS[name].partition(":")
    found: Launcher = getattr(importlib.import_module(module), named)()
    return found
