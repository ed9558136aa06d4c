"""``--compute``: what of it is understood, refused, and planned with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_platform.cli.overrides import compute_overrides
from mlops_platform.errors import PlatformError
from mlops_platform.resources.home import Home
from mlops_platform_tests.cli.conftest import Outcome
from mlops_platform_tests.lineage.pumps.project import PROJECT


def test_pairs_become_values_of_the_declared_types() -> None:
    text = "devices=2, launcher=torchrun,compile=yes,price_per_device_hour=2.5,threads=1,precision=bf16"
    assert compute_overrides(text, PROJECT) == {
        "devices": 2, "launcher": "torchrun", "compile": True, "price_per_device_hour": 2.5, "threads": 1,
        "precision": "bf16",
    }  # fmt: skip
    assert compute_overrides("", PROJECT) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("devices", "NAME=VALUE of accelerator, devices"),
        ("pool=mine", "--compute 'pool=mine'"),
        ("devices=two", "devices to be a whole number"),
        ("compile=maybe", "compile to be true or false"),
        ("price_per_device_hour=dear", "price_per_device_hour to be a number"),
        ("devices=2", "Compute.launcher"),
        ("accelerator=tpu", "Compute.accelerator"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(text: str, said: str) -> None:
    with pytest.raises(PlatformError, match=said):
        compute_overrides(text, PROJECT)


def test_a_plan_knows_what_other_compute_would_change(
    pumps_home: Path, use_home: Callable[[Path], Home], mlops: Callable[..., Outcome]
) -> None:
    use_home(pumps_home)
    station = 'key:"pumps/pump_repair/checkpoint"'
    assert "would be taken" in mlops("plan", "--select", station).out
    said = mlops("plan", "--select", station, "--compute", "precision=bf16").out
    assert "would run" in said and "bf16-mixed" in said
    priced = mlops("plan", "--select", station, "--compute", "price_per_device_hour=2").out
    assert "would be taken" in priced
