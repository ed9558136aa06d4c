"""After a kill in the middle of any station, or a full disk, the next run goes on from whole artifacts only."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_platform.resources.artifacts import ArtifactStore
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform_tests.lineage.pumps.project import PROJECT
from mlops_platform_tests.lineage.run import PUMPS, land

ROOT = Path(__file__).parents[2]
STATIONS = [
    "pumps/raw/readings",
    "pumps/features/pump_state",
    "pumps/feast/registry",
    "pumps/feast/online",
    "pumps/pump_repair/dataset",
    "pumps/pump_repair/checkpoint",
    "pumps/pump_repair/evaluation",
    "pumps/pump_repair/gate",
    "pumps/pump_repair/registered_model",
    "pumps/pump_repair/champion",
    "pumps/pump_repair/predictions",
    "pumps/pump_repair/monitoring",
    "pumps/pump_repair/retrain_decision",
]
SAMPLED = ["pumps/pump_repair/checkpoint", "pumps/pump_repair/registered_model"]


def digests(home: Path) -> dict[str, str]:
    refs = Refs(Home(home))
    return {station: refs.read(station).manifest.digest for station in refs.stations()}


def start(home: Path, **environment: str) -> subprocess.Popen:
    """Materializes the pumps in a process group of its own."""
    inherited = {**os.environ, "PYTHONPATH": str(ROOT), "MLOPS_HOME": str(home), "DAGSTER_HOME": str(home)}
    return subprocess.Popen(
        [sys.executable, "-m", "mlops_platform_tests.lineage.run", str(home), PUMPS],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env={**inherited, **environment},
        start_new_session=True,
    )


def finish(home: Path) -> str:
    process = start(home)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def landed(path: Path) -> Path:
    home = Home(path / "home")
    home.prepare()
    land(home, PROJECT, "2024-05")
    return home.path


def kill_in(home: Path, station: str, delay: float) -> bool:
    """Kills the whole group a moment after a station began; False where it ended before that."""
    process = start(home)
    assert process.stdout is not None
    for line in process.stdout:
        if line.split() == ["begin", station]:
            time.sleep(delay)
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.wait()
    return process.returncode == -signal.SIGKILL


def require_recovery(home: Path, undisturbed: Path) -> None:
    finish(home)
    assert digests(home) == digests(undisturbed)
    store = ArtifactStore(Home(home))
    for manifest in store.root.glob("*/*/manifest.json"):
        artifact = store.open(manifest.parents[1].name, f"sha256:{manifest.parent.name}")
        assert all(artifact.file(name).is_file() for name in artifact.manifest.files)


@pytest.mark.long
@pytest.mark.parametrize("station", SAMPLED)
def test_a_killed_run_is_taken_up_from_whole_artifacts(station: str, tmp_path: Path, pumps_home: Path) -> None:
    home = landed(tmp_path)
    assert kill_in(home, station, delay=0.4)
    require_recovery(home, pumps_home)


@pytest.mark.soak
@pytest.mark.parametrize("station", STATIONS)
@pytest.mark.parametrize("round_", range(3))
def test_a_kill_at_any_moment_of_any_station(station: str, round_: int, tmp_path: Path, pumps_home: Path) -> None:
    home = landed(tmp_path)
    kill_in(home, station, delay=random.Random(f"{station}{round_}").random() * 2)
    require_recovery(home, pumps_home)


@pytest.mark.long
@pytest.mark.parametrize("station", ["dataset", "checkpoint", "evaluation"])
def test_a_full_disk_stops_with_an_error_and_leaves_nothing_half(
    station: str, tmp_path: Path, pumps_home: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(pumps_home, home)
    made = Home(home).artifacts / station
    shutil.rmtree(made)
    process = start(home, FULL_DISK_IN=f"pumps/pump_repair/{station}")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 1 and f"failed pumps__pump_repair__{station}" in output
    assert not list(made.glob("*")) and not list((Home(home).artifacts / ".staging").glob("*"))
    require_recovery(home, pumps_home)
