"""A tuning that is killed in the middle of a trial goes on, and comes to the very artifact of an undisturbed one."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from mlops_platform_tests.training.tiny import Shop
from mlops_platform_tests.training.tuning.shops import tuning_of, tuning_shop

ROOT = Path(__file__).parents[3]


def started(folder: Path) -> "subprocess.Popen[str]":
    """Tunes in a process group of its own."""
    inherited = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "mlops_platform_tests.training.tuning.tuner", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=inherited,
                            cwd=ROOT)  # fmt: skip


def alive(folder: Path) -> bool:
    """Whether a training program of this home still runs; found by the job's path among its arguments' files."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (
                str(folder).encode() in (process / "environ").read_bytes()
                and b"training.program" in (process / "cmdline").read_bytes()
            ):
                return True
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return False


def kill_after(folder: Path, trial: int, delay: float) -> list[str]:
    """Kills the tuning, and it alone, a moment after a trial was done; the program has to notice by itself."""
    process = started(folder)
    assert process.stdout is not None
    heard = []
    for line in process.stdout:
        if line.startswith("done"):
            heard.append(line.strip())
        if line.strip() == f"done {trial}":
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    assert process.returncode == -signal.SIGKILL, heard
    deadline = time.monotonic() + 20
    while alive(folder):
        assert time.monotonic() < deadline, "the program outlived its study"
        time.sleep(0.1)
    return heard


def finished(folder: Path) -> list[str]:
    process = started(folder)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return [line for line in output.splitlines() if line.startswith("done")]


@pytest.mark.long
def test_a_killed_tuning_goes_on_to_the_same_artifact(
    tmp_path: Path, tuned_shop: Shop, tuned: dg.ExecuteInProcessResult
) -> None:
    made = tuning_shop(tmp_path)
    assert kill_after(tmp_path, trial=0, delay=0.1) == ["done 0"]
    assert finished(tmp_path) == [f"done {trial}" for trial in range(1, 6)]
    assert tuning_of(made).manifest.digest == tuning_of(tuned_shop).manifest.digest


@pytest.mark.soak
@pytest.mark.parametrize("round_", range(10))
def test_kills_at_any_moment_change_nothing(
    round_: int, tmp_path: Path, tuned_shop: Shop, tuned: dg.ExecuteInProcessResult
) -> None:
    made = tuning_shop(tmp_path)
    chance = random.Random(round_)
    for trial in sorted(chance.sample((0, 1, 3, 4), 2)):
        kill_after(tmp_path, trial=trial, delay=chance.random())
    finished(tmp_path)
    assert tuning_of(made).manifest.digest == tuning_of(tuned_shop).manifest.digest
