"""A training on a real Ray cluster of two nodes: what comes back live, and that nothing outlives it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_platform.errors import KilledError, TrainingError
from mlops_platform.resources.compute import ComputeResource
from mlops_platform.resources.launchers.ray import RayLauncher
from mlops_platform.resources.launchers.settings import FILE, RaySettings
from mlops_platform.training.assets import checkpoint_asset
from mlops_platform.training.record import Epoch, read_curves
from mlops_platform_tests.resources.cluster_launching import ROOT, cancel_when_heard, gone, launched, told, until
from mlops_platform_tests.resources.two_nodes import two_nodes
from mlops_platform_tests.training.tiny import Shop, network, shop

pytestmark = [pytest.mark.long]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RaySettings]:
    with two_nodes() as address:
        yield RaySettings(address=address, wait_seconds=30, orphan_seconds=4)


@pytest.fixture
def ray(cluster: RaySettings) -> RayLauncher:
    return RayLauncher(cluster)


def test_two_nodes_get_a_process_each_and_are_heard(
    ray: RayLauncher, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    messages = launched(ray, tmp_path, {}, nodes=2)
    assert [message["event"] for message in messages] == ["finished"]
    first, second = told(tmp_path, 0), told(tmp_path, 1)
    assert (first["RANK"], second["RANK"]) == ("0", "1")
    assert first["WORLD_SIZE"] == second["WORLD_SIZE"] == "2"
    assert first["LOCAL_RANK"] == second["LOCAL_RANK"] == "0"
    assert (first["MASTER_ADDR"], first["MASTER_PORT"]) == (second["MASTER_ADDR"], second["MASTER_PORT"])
    assert first["OMP_NUM_THREADS"] == "1"
    assert first["node"] != second["node"]
    printed = capfd.readouterr().out
    assert "[rank-0] rank 0 prints" in printed and "[rank-1] rank 1 prints" in printed


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [("fails", TrainingError, "rank 1: .*ValueError: no such thing"), ("killed", KilledError, "rank 1: .*SIGKILL")],
)
def test_one_process_that_fails_ends_all_and_is_named(
    ray: RayLauncher, tmp_path: Path, how: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        launched(ray, tmp_path, {how: 1, "wait": 0}, nodes=2)
    assert gone(tmp_path)


def test_a_process_that_no_longer_reports_is_ended(ray: RayLauncher, tmp_path: Path) -> None:
    with pytest.raises(KilledError, match="a sign of life"):
        launched(ray, tmp_path, {"frozen": 0}, silence_seconds=2, grace_seconds=1)
    assert gone(tmp_path)


def test_a_cancelled_run_ends_every_process(ray: RayLauncher, tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        # What it waits for came back while the process was at work.
        thread = cancel_when_heard(tmp_path, instance)
        with pytest.raises(BaseException) as caught:
            launched(ray, tmp_path, {"wait": 0}, instance)
        thread.join()
    assert isinstance(caught.value, KeyboardInterrupt) or "Interrupted" in type(caught.value).__name__
    assert gone(tmp_path)


def test_a_run_that_is_killed_leaves_no_process(cluster: RaySettings, tmp_path: Path) -> None:
    module = "mlops_platform_tests.resources.cluster_launching"
    process = subprocess.Popen([sys.executable, "-m", module, str(tmp_path), cluster.model_dump_json()], cwd=ROOT,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    assert until(lambda: (tmp_path / "0.json").is_file())
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not gone(tmp_path)
    assert until(lambda: gone(tmp_path))


def curves(made: Shop, **compute: Any) -> tuple[Epoch, ...]:
    """Of a real training, by the station."""
    station = checkpoint_asset(made.project, made.project.models[0])
    asked = ComputeResource(threads=1, **compute)
    assert dg.materialize([station], resources={**made.resources, "compute": asked}).success
    checkpoint = made.checkpoint()
    assert checkpoint is not None
    return read_curves(checkpoint.file("curves.json").read_bytes())


def test_a_model_learns_on_two_nodes_what_it_learns_here(
    cluster: RaySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    alone = curves(shop(tmp_path / "here", network("Even")))
    there = shop(tmp_path, network("Even"))
    monkeypatch.setenv("MLOPS_HOME", str(there.home.path))
    (there.home.root / FILE).write_text(f'[ray]\naddress = "{cluster.address}"\nenv = {{GLOO_SOCKET_IFNAME = "lo"}}\n')
    for mine, theirs in zip(curves(there, launcher="ray", nodes=2), alone, strict=True):
        assert mine.train_loss == pytest.approx(theirs.train_loss, abs=1e-6)
        assert mine.validation_loss == pytest.approx(theirs.validation_loss, abs=1e-6)


def test_nodes_that_are_not_there_are_an_error_that_names_those_that_are(cluster: RaySettings, tmp_path: Path) -> None:
    hurried = RayLauncher(RaySettings(**{**cluster.model_dump(), "wait_seconds": 0.5}))
    with pytest.raises(TrainingError, match=r"3 node\(s\) of the Ray cluster(.|\n)*2 node\(s\): .* with CPU 1, GPU 0"):
        launched(hurried, tmp_path, {}, nodes=3)


def test_files_that_a_node_does_not_see_are_named(ray: RayLauncher, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"node 0 does not see /nowhere/train\.parquet"):
        launched(ray, tmp_path, {"train": "/nowhere/train.parquet"})


def test_a_cluster_without_gpus_has_none(ray: RayLauncher) -> None:
    assert dict(ray.gpus()) == {}
