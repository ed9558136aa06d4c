"""The door to compute: what a model trains on here, and the lease that keeps others off it meanwhile."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import dagster as dg

from mlops_platform.errors import PlatformError
from mlops_platform.resources.ahead import importing
from mlops_platform.resources.devices import cpus, device_class, gpus, lease
from mlops_platform.resources.launchers import Launch, launcher
from mlops_platform.spec import Compute

# The run is recorded in MLflow, and its verdict is reached with the others.
_COMES_NEXT = ("mlflow", "sklearn.linear_model", "sklearn.metrics", "matplotlib.figure", "onnxruntime")


@dataclass(frozen=True, kw_only=True)
class ResolvedCompute:
    """A declaration met with this machine.

    Attributes:
        accelerator: ``cpu`` or ``cuda``.
        devices: How many.
        precision: Lightning's name of it.
        threads: CPU threads.
        launcher: Name of the launcher.
        device_class: Kind of processor or model of GPU.
    """

    accelerator: Literal["cpu", "cuda"]
    devices: int
    precision: str
    threads: int
    launcher: str
    device_class: str

    @property
    def software(self) -> dict[str, str]:
        """What of it decides bits, for the recipe."""
        device = f"{self.devices} {self.device_class}"
        return {"device": device, "precision": self.precision, "threads": str(self.threads)}


class ComputeResource(dg.ConfigurableResource):
    """Where training runs; each field overrides what the model declares, unless it is empty or zero.

    A model's pool is no field here: Dagster binds pools when assets are defined.

    Attributes:
        accelerator: ``auto``, ``cpu`` or ``cuda``.
        devices: How many devices.
        precision: Lightning's name of the numeric precision.
        threads: CPU threads.
        launcher: Name of the launcher.
        lease_wait_seconds: How long a training waits for devices that others hold.
    """

    accelerator: str = ""
    devices: int = 0
    precision: str = ""
    threads: int = 0
    launcher: str = ""
    lease_wait_seconds: float = 3600.0

    def resolve(self, declared: Compute) -> ResolvedCompute:
        """Meets a declaration with the overrides and with this machine.

        Raises:
            SpecError: An override is of no valid value.
            PlatformError: Devices are asked for that are not there.
        """
        names = ("accelerator", "devices", "precision", "threads", "launcher")
        overrides = {name: value for name in names if (value := getattr(self, name))}
        asked = dataclasses.replace(declared, **overrides)
        there = gpus() if asked.accelerator != "cpu" else {}
        accelerator = ("cuda" if there else "cpu") if asked.accelerator == "auto" else asked.accelerator
        available = len(there) if accelerator == "cuda" else 1
        if asked.devices > available:
            nothing = "no NVIDIA device: neither nvidia-smi nor /proc/driver/nvidia shows one"
            raise PlatformError(
                required=f"{asked.devices} {accelerator} device(s) for training",
                found=(", ".join(there.values()) or nothing)
                if accelerator == "cuda"
                else "one processor is one device",
                remedy="set the compute resource's accelerator to cpu and devices to 1, or run where the devices are",
            )
        threads = min(asked.threads, len(cpus()))
        return ResolvedCompute(
            accelerator=accelerator, devices=asked.devices, precision=asked.precision,
            threads=threads, launcher=asked.launcher, device_class=device_class(accelerator),
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
        count = compute.threads if on_cpu else compute.devices
        asked = Launch(job=job, accelerator=compute.accelerator, devices=compute.devices, threads=compute.threads,
                       env=_environment(compute))  # fmt: skip
        if not chosen.near:
            return chosen.launch(context, asked)
        with lease(
            leases, compute.accelerator, cpus() if on_cpu else list(gpus()), count,
            wait_seconds=self.lease_wait_seconds,
            waiting=lambda holders: context.log.info(f"waiting for {count} {compute.accelerator}: {holders}"),
        ) as held:  # fmt: skip
            indices = ",".join(held.indices)
            context.log.info(f"training on {compute.device_class}, {compute.accelerator} {indices}")
            env = {**asked.env, "CUDA_VISIBLE_DEVICES": "" if on_cpu else indices}
            with importing(*_COMES_NEXT):
                return chosen.launch(context, dataclasses.replace(asked, env=env, hold=held.handles))


def _environment(compute: ResolvedCompute) -> dict[str, str]:
    threads = str(compute.threads)
    return {
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "POLARS_MAX_THREADS": threads,
        "PYTHONHASHSEED": "0",
    }
