"""How a declaration meets the overrides and the machine, and what of it is recorded where."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_platform.errors import PlatformError
from mlops_platform.resources import compute as room
from mlops_platform.resources.compute import ComputeResource, ResolvedCompute
from mlops_platform.resources.devices import lease
from mlops_platform.resources.launchers import LAUNCHERS, Launch
from mlops_platform.spec import Compute

FOUR = {str(index): "NVIDIA H100" for index in range(4)}


class Elsewhere:
    """A launcher of a cluster."""

    near = False

    def gpus(self) -> Mapping[str, str]:
        return FOUR


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four processors, four GPUs, and a cluster of four GPUs."""
    monkeypatch.setattr(room, "cpus", lambda: ["0", "1", "2", "3"])
    for module in ("local", "torchrun"):
        monkeypatch.setattr(f"mlops_platform.resources.launchers.{module}.gpus", lambda: FOUR)
    monkeypatch.setitem(LAUNCHERS, "ray", f"{__name__}:Elsewhere")


@pytest.mark.parametrize(
    ("override", "got", "software"),
    [
        ({}, {"accelerator": "cpu", "threads": 2}, {}),
        ({"threads": 64}, {"threads": 4}, {"threads": "4"}),
        ({"precision": "bf16"}, {"precision": "bf16-mixed"}, {"precision": "bf16-mixed"}),
        ({"strategy": "fsdp2"}, {"strategy": "fsdp2"}, {"strategy": "fsdp2"}),
        ({"compile": True}, {"compile": True}, {"compile": "torch.compile"}),
        ({"price_per_device_hour": 2.5}, {"price_per_device_hour": 2.5}, {}),
        ({"launcher": "torchrun", "devices": 2}, {"devices": 2, "processes": 2, "strategy": "ddp"},
         {"device": "2 cpu x86_64", "strategy": "ddp"}),
        ({"launcher": "torchrun", "devices": 4}, {"threads": 1}, {"device": "4 cpu x86_64", "strategy": "ddp",
                                                                  "threads": "1"}),
        ({"accelerator": "auto", "launcher": "torchrun", "devices": 3}, {"accelerator": "cuda", "threads": 1},
         {"device": "3 cuda NVIDIA H100", "strategy": "ddp", "threads": "1"}),
        ({"accelerator": "cuda", "launcher": "ray", "nodes": 2, "devices": 2, "threads": 64},
         {"nodes": 2, "processes": 4, "threads": 64},
         {"device": "2 cuda NVIDIA H100", "nodes": "2", "strategy": "ddp", "threads": "64"}),
    ],
)  # fmt: skip
def test_each_field_is_resolved_and_only_what_is_not_usual_enters_the_recipe(
    override: dict, got: dict, software: dict, machine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    resolved = ComputeResource(**override).resolve(Compute())
    assert {name: getattr(resolved, name) for name in got} == got
    usual = {"device": "1 cpu x86_64", "precision": "32-true", "threads": "2"}
    assert resolved.software == {**usual, **software}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ({"accelerator": "cuda", "launcher": "torchrun", "devices": 5}, "5 cuda device.*0: NVIDIA H100, 1: NVIDIA"),
        ({"accelerator": "auto", "launcher": "torchrun", "devices": 5}, "5 cuda device"),
        ({"accelerator": "cuda", "launcher": "ray", "devices": 4, "nodes": 2}, "8 cuda device.*by launcher ray"),
        ({"launcher": "torchrun", "devices": 5}, r"5 cpu devices.*4 processor"),
        ({"devices": 2}, "a launcher of 2 processes"),
        ({"nodes": 2, "launcher": "torchrun"}, "reaches 2 nodes"),
        ({"precision": "8-bit"}, "Compute.precision"),
        ({"strategy": "magic"}, "Compute.strategy"),
    ],
)
def test_what_cannot_be_is_refused_with_what_was_found(override: dict, said: str, machine: None) -> None:
    with pytest.raises(PlatformError, match=f"(?s){said}"):
        ComputeResource(**override).resolve(Compute())


class Recorder(Elsewhere):
    """A launcher of this machine that only notes what it was asked for."""

    near = True

    def launch(self, context: dg.AssetExecutionContext, launch: Launch) -> tuple[Mapping[str, Any], ...]:
        return (dict(launch.env),)


def test_leased_gpus_are_named_as_the_bus_counts_them(
    machine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LAUNCHERS, "torchrun", f"{__name__}:Recorder")
    resource = ComputeResource(accelerator="cuda", devices=2, launcher="torchrun")
    found: list[Mapping[str, Any]] = []

    @dg.asset(key=["shop", "sells", "checkpoint"])
    def trained(context: dg.AssetExecutionContext) -> None:
        with lease(tmp_path, "cuda", ["1"], 1, wait_seconds=0):
            found.extend(resource.run(context, resource.resolve(Compute()), tmp_path / "job.json", tmp_path))

    assert dg.materialize([trained]).success
    assert (found[0]["CUDA_VISIBLE_DEVICES"], found[0]["CUDA_DEVICE_ORDER"]) == ("0,2", "PCI_BUS_ID")


def test_a_declared_compilation_can_be_switched_off_for_a_run(machine: None) -> None:
    declared = Compute(compile=True, price_per_device_hour=1.0)
    assert ComputeResource().resolve(declared).compile
    resolved = ComputeResource(compile=False).resolve(declared)
    assert not resolved.compile and resolved.price_per_device_hour == 1.0


def test_every_field_of_a_declaration_can_be_overridden_from_the_launchpad(machine: None) -> None:
    found: list[ResolvedCompute] = []

    @dg.asset
    def trained(compute: ComputeResource) -> None:
        found.append(compute.resolve(Compute()))

    config = {"accelerator": "auto", "devices": 2, "nodes": 1, "precision": "bf16-mixed", "strategy": "fsdp2",
              "compile": True, "threads": 1, "launcher": "torchrun", "price_per_device_hour": 3.0}  # fmt: skip
    assert {"pool", *config} == set(Compute.__dataclass_fields__)
    resources = {"compute": {"config": config}}
    assert dg.materialize(
        [trained], resources={"compute": ComputeResource()}, run_config={"resources": resources}
    ).success
    assert found == [ResolvedCompute(**{**config, "accelerator": "cuda"}, device_class="cuda NVIDIA H100")]
