"""The door to compute: what a model trains on here, and the lease that keeps others off it meanwhile."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import dagster as dg

from mlops_platform.errors import PlatformError
from mlops_platform.resources.ahead import importing
from mlops_platform.resources.devices import cpus, device_class, lease
from mlops_platform.resources.launchers import Launch, launcher
from mlops_platform.spec import Compute

# The run is recorded in MLflow, and its verdict is reached with the others.
_COMES_NEXT = ("mlflow", "sklearn.linear_model", "sklearn.metrics", "matplotlib.figure", "onnxruntime")
_OVERRIDES = (
    "accelerator", "devices", "nodes", "precision", "strategy", "compile", "threads", "launcher",
    "price_per_device_hour",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ResolvedCompute:
    """A declaration met with the machines that its launcher reaches.

    Attributes:
        accelerator: ``cpu`` or ``cuda``.
        devices: How many on each node, each with a process.
        nodes: How many machines.
        precision: Lightning's name of it.
        strategy: How several processes share the work.
        compile: Whether the network is compiled.
        threads: CPU threads of each process.
        launcher: Name of the launcher.
        price_per_device_hour: What an hour of one device costs; None where nobody knows.
        device_class: Kind of processor or model of GPU.
    """

    accelerator: Literal["cpu", "cuda"]
    devices: int
    nodes: int = 1
    precision: str
    strategy: Literal["ddp", "fsdp2"] = "ddp"
    compile: bool = False
    threads: int
    launcher: str
    price_per_device_hour: float | None = None
    device_class: str

    @property
    def processes(self) -> int:
        """How many processes the training program runs as."""
        return self.devices * self.nodes

    @property
    def software(self) -> dict[str, str]:
        """What of it decides bits, for the recipe; what is of no consequence to one usual process is left out."""
        told = {"device": f"{self.devices} {self.device_class}", "precision": self.precision,
                "threads": str(self.threads)}  # fmt: skip
        if self.nodes > 1:
            told["nodes"] = str(self.nodes)
        if self.processes > 1 or self.strategy != "ddp":
            told["strategy"] = self.strategy
        if self.compile:
            told["compile"] = "torch.compile"
        return told


class ComputeResource(dg.ConfigurableResource):
    """Where training runs; each field overrides what the model declares, unless it is empty, zero or null.

    A model's pool is no field here: Dagster binds pools when assets are defined.

    Attributes:
        accelerator: ``auto``, ``cpu`` or ``cuda``.
        devices: How many devices on each node.
        nodes: How many machines.
        precision: Lightning's name of the numeric precision.
        strategy: ``auto``, ``ddp`` or ``fsdp2``.
        compile: Whether the network is compiled.
        threads: CPU threads of each process.
        launcher: Name of the launcher.
        price_per_device_hour: What an hour of one device costs.
        lease_wait_seconds: How long a training waits for devices that others hold.
        silence_seconds: How long the training program may send no message before it is ended.
        stall_seconds: How long it may say that it lives and not get on before it is ended.
        grace_seconds: How long a program that is asked to stop may take to save and go before it is killed.
    """

    accelerator: str = ""
    devices: int = 0
    nodes: int = 0
    precision: str = ""
    strategy: str = ""
    compile: bool | None = None
    threads: int = 0
    launcher: str = ""
    price_per_device_hour: float | None = None
    lease_wait_seconds: float = 3600.0
    silence_seconds: float = 600.0
    stall_seconds: float = 3600.0
    grace_seconds: float = 30.0

    def resolve(self, declared: Compute) -> ResolvedCompute:
        """Meets a declaration with the overrides and with what the launcher reaches.

        Raises:
            SpecError: An override is of no valid value, or does not go with the rest.
            PlatformError: Devices are asked for that are not there.
        """
        told: Any = {name: getattr(self, name) for name in _OVERRIDES}
        asked = dataclasses.replace(
            declared, **{name: told[name] for name in told if told[name] or told[name] is False}
        )
        chosen = launcher(asked.launcher)
        there = dict(chosen.gpus()) if asked.accelerator != "cpu" else {}
        accelerator: Literal["cpu", "cuda"] = "cuda" if there or asked.accelerator == "cuda" else "cpu"
        if accelerator == "cuda":
            _require_gpus(asked, there, near=chosen.near)
        return ResolvedCompute(
            accelerator=accelerator, devices=asked.devices, nodes=asked.nodes, precision=asked.precision,
            strategy="fsdp2" if asked.strategy == "fsdp2" else "ddp", compile=asked.compile,
            threads=_threads(asked, accelerator) if chosen.near else asked.threads, launcher=asked.launcher,
            price_per_device_hour=asked.price_per_device_hour, device_class=device_class(accelerator, there),
        )  # fmt: skip

    def run(
        self, context: dg.AssetExecutionContext, compute: ResolvedCompute, job: Path, leases: Path
    ) -> tuple[Mapping[str, Any], ...]:
        """Runs the training program on leased devices.

        Args:
            context: Of the asset.
            compute: From ``resolve``.
            job: The job's file.
            leases: Folder of the lock files.

        Returns:
            The program's messages.

        Raises:
            TrainingError: The program did not finish.
            PlatformError: No device became free in time.
        """
        chosen = launcher(compute.launcher)
        on_cpu = compute.accelerator == "cpu"
        count = compute.threads * compute.devices if on_cpu else compute.devices
        asked = Launch(
            job=job, accelerator=compute.accelerator, devices=compute.devices, nodes=compute.nodes,
            threads=compute.threads, env=self._environment(compute), silence_seconds=self.silence_seconds,
            stall_seconds=self.stall_seconds, grace_seconds=self.grace_seconds,
        )  # fmt: skip
        if not chosen.near:
            with importing(*_COMES_NEXT):
                return chosen.launch(context, asked)
        with lease(
            leases, compute.accelerator, cpus() if on_cpu else list(chosen.gpus()), count,
            wait_seconds=self.lease_wait_seconds,
            waiting=lambda holders: context.log.info(f"waiting for {count} {compute.accelerator}: {holders}"),
            run_id=context.run.run_id, model="/".join(context.asset_key.path[:2]),
        ) as held:  # fmt: skip
            indices = ",".join(held.indices)
            context.log.info(f"training on {compute.device_class}, {compute.accelerator} {indices}")
            # By themselves nvidia-smi counts along the bus, and CUDA from the fastest device on.
            on_bus = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": indices}
            env = asked.env if on_cpu else {**asked.env, **on_bus}
            with importing(*_COMES_NEXT):
                return chosen.launch(context, dataclasses.replace(asked, env=env, hold=held.handles))

    def _environment(self, compute: ResolvedCompute) -> dict[str, str]:
        threads = str(compute.threads)
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if compute.accelerator == "cpu" else {}
        return {
            **hidden,
            "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "POLARS_MAX_THREADS": threads,
            "PYTHONHASHSEED": "0",
            "MLOPS_HEARTBEAT_SECONDS": f"{min(5.0, self.silence_seconds / 4):g}",
        }


def _require_gpus(asked: Compute, there: Mapping[str, str], *, near: bool) -> None:
    if asked.processes <= len(there):
        return
    nothing = "no NVIDIA device: neither nvidia-smi nor /proc/driver/nvidia shows one" if near else "no GPU"
    if near and (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        nothing += f" that CUDA_VISIBLE_DEVICES={visible} lets through"
    instead = "accelerator=cpu, for fewer devices" + (", or for auto" if asked.accelerator == "cuda" else "")
    raise PlatformError(
        required=f"{asked.processes} cuda device(s) for training, by launcher {asked.launcher}",
        found=", ".join(f"{index}: {name}" for index, name in there.items()) or nothing,
        remedy=f"ask for {instead}; or run where the devices are",
    )


def _threads(asked: Compute, accelerator: str) -> int:
    """Threads of each process, so that all processes together find as many processors on this machine."""
    here = len(cpus())
    if accelerator == "cpu" and asked.devices > here:
        raise PlatformError(
            required=f"{asked.devices} cpu devices for training, each of at least one processor",
            found=f"{here} processor(s)", remedy=f"ask for devices={here} or fewer",
        )  # fmt: skip
    return min(asked.threads, max(here // asked.devices, 1))
