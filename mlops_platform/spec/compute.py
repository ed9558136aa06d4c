"""Declaration of where a model trains, and of how its training is saved on the way."""

from dataclasses import dataclass
from typing import Literal, get_args

from mlops_platform.spec.fields import duration, require

Accelerator = Literal["auto", "cpu", "cuda"]
Strategy = Literal["auto", "ddp", "fsdp2"]
LauncherName = Literal["local", "torchrun", "ray", "kubernetes"]
PRECISIONS = ("32-true", "16-mixed", "bf16-mixed", "bf16-true")
_SHORT = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed"}


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Where a model trains.

    The training program runs as ``nodes`` times ``devices`` processes, each with one device: a GPU, or on ``cpu``
    ``threads`` processors.

    Attributes:
        accelerator: ``cpu``, ``cuda``, or ``auto`` for ``cuda`` where there is one and ``cpu`` elsewhere.
        devices: How many on each node.
        nodes: How many machines; only Ray and Kubernetes reach others than this one.
        precision: Lightning's name of the numeric precision, one of ``PRECISIONS``; ``32``, ``16`` and ``bf16`` are
            short for ``32-true``, ``16-mixed`` and ``bf16-mixed``, as in Lightning.
        strategy: How several processes share the work: ``ddp`` copies the network to each, ``fsdp2`` shards it;
            ``auto`` is ``ddp`` where there are several.
        compile: Whether the network is compiled by ``torch.compile``.
        threads: CPU threads of each process; part of what decides its bits.
        launcher: Name of the launcher that starts the training program: ``local`` starts one process, ``torchrun``
            several on this machine.
        pool: Dagster pool that bounds how many train at once.
        price_per_device_hour: What an hour of one device costs, in any one currency; None where nobody knows.
    """

    accelerator: Accelerator = "cpu"
    devices: int = 1
    nodes: int = 1
    precision: str = "32-true"
    strategy: Strategy = "auto"
    compile: bool = False
    threads: int = 2
    launcher: LauncherName = "local"
    pool: str = "gpu"
    price_per_device_hour: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "precision", _SHORT.get(self.precision, self.precision))
        for name, choices in (
            ("accelerator", get_args(Accelerator)), ("strategy", get_args(Strategy)),
            ("launcher", get_args(LauncherName)), ("precision", PRECISIONS),
        ):  # fmt: skip
            value = getattr(self, name)
            require(value in choices, f"Compute.{name}", value, f"one of {', '.join(choices)}", "choose one")
        for name in ("devices", "nodes", "threads"):
            value = getattr(self, name)
            require(value > 0, f"Compute.{name}", value, "at least one", "raise it")
        alone = self.launcher != "local" or self.processes == 1
        require(alone, "Compute.launcher", self.launcher, f"a launcher of {self.processes} processes",
                "choose torchrun, ray or kubernetes, or declare one device on one node")  # fmt: skip
        near = self.launcher in ("ray", "kubernetes") or self.nodes == 1
        require(near, "Compute.launcher", self.launcher, f"a launcher that reaches {self.nodes} nodes",
                "choose ray or kubernetes, or declare one node")  # fmt: skip
        price = self.price_per_device_hour
        require(price is None or price >= 0, "Compute.price_per_device_hour", price, "zero or more", "leave it out")

    @property
    def processes(self) -> int:
        """How many processes the training program runs as."""
        return self.devices * self.nodes


@dataclass(frozen=True, kw_only=True)
class Saving:
    """How a training is saved on the way, so that a killed one resumes where it was; decides no bits.

    Attributes:
        every: Time between two saves, as ``30s`` or ``10m``; None: Young's formula decides, the square root of twice
            the time that a save holds training up times ``failures_every``
            (J. Young, Communications of the ACM 17, 1974).
        failures_every: Mean time between failures that Young's formula reckons with.
        keep: How many saves are kept while it trains, the newest; more than one, so that a damaged one has one before.
    """

    every: str | None = None
    failures_every: str = "1d"
    keep: int = 2

    def __post_init__(self) -> None:
        for name in ("every", "failures_every"):
            if getattr(self, name) is not None:
                duration(getattr(self, name), name=f"Saving.{name}")
        require(self.keep > 0, "Saving.keep", self.keep, "at least one save", "2 is usual")
