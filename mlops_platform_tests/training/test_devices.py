"""Leases between real processes: one holder a device, freed by the kernel, and a program that follows its launcher."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_platform.errors import PlatformError
from mlops_platform.resources import devices
from mlops_platform.resources.compute import ComputeResource
from mlops_platform.resources.launchers.near import ended
from mlops_platform.spec import Compute

ROOT = Path(__file__).parents[2]
HOLD = """
import subprocess, sys, time
from pathlib import Path
from mlops_platform.resources.devices import lease
with lease(Path(sys.argv[1]), "cpu", ["0", "1"], int(sys.argv[2]), wait_seconds=30) as held:
    if "child" in sys.argv:
        child = subprocess.Popen(["sleep", "60"], pass_fds=held.handles, stdout=subprocess.DEVNULL)
        print(*held.indices, child.pid, flush=True)
    print(*held.indices, flush=True)
    time.sleep(60)
"""
FOLLOW = """
import os, subprocess, sys, time
read, write = os.pipe()
code = ("from mlops_platform.training.program.leash import follow_parent\\n"
        "import time; follow_parent(); print('up', flush=True); time.sleep(60)")
env = {**os.environ, "MLOPS_PARENT_FD": str(read)}
child = subprocess.Popen([sys.executable, "-c", code], pass_fds=[read], env=env)
print(child.pid, flush=True)
time.sleep(60)
"""


@contextlib.contextmanager
def _process(code: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _line(process: "subprocess.Popen[str]") -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


def _free(folder: Path, wait: float = 0.0, count: int = 1) -> tuple[str, ...]:
    with devices.lease(folder, "cpu", ["0", "1"], count, wait_seconds=wait) as held:
        return held.indices


def test_two_holders_share_two_devices_and_a_third_is_told_who_they_are(tmp_path: Path) -> None:
    with _process(HOLD, str(tmp_path), "1") as one, _process(HOLD, str(tmp_path), "1") as two:
        assert {*_line(one), *_line(two)} == {"0", "1"}
        heard: list[str] = []
        with (
            pytest.raises(PlatformError, match=f"process {one.pid}"),
            devices.lease(tmp_path, "cpu", ["0", "1"], 1, wait_seconds=0.3, waiting=heard.append),
        ):
            pytest.fail("a third holder got a device")
        assert len(heard) == 1
        one.send_signal(signal.SIGKILL)
        assert len(_free(tmp_path, wait=10)) == 1


def test_all_or_none(tmp_path: Path) -> None:
    with _process(HOLD, str(tmp_path), "1") as one:
        _line(one)
        with pytest.raises(PlatformError, match="2 free cpu"):
            _free(tmp_path, count=2)
        assert _free(tmp_path) == ("1",)


def test_a_lease_outlives_a_killed_launcher_as_long_as_its_program(tmp_path: Path) -> None:
    with _process(HOLD, str(tmp_path), "2", "child") as launcher:
        child = int(_line(launcher)[-1])
        launcher.send_signal(signal.SIGKILL)
        launcher.wait()
        with pytest.raises(PlatformError, match="2 free cpu"):
            _free(tmp_path, count=2)
        os.kill(child, signal.SIGKILL)
        assert _free(tmp_path, wait=10, count=2) == ("0", "1")


def test_a_program_follows_its_killed_launcher() -> None:
    with _process(FOLLOW) as launcher:
        child = int(_line(launcher)[0])
        assert _line(launcher) == ["up"]
        launcher.send_signal(signal.SIGKILL)
        launcher.wait()
        deadline = time.monotonic() + 10
        while _alive(child) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _alive(child)


def test_an_interrupted_wait_ends_the_program() -> None:
    # Whatever signals this process ignores or blocks, a program that listens hears this one, as the trainer does.
    listens = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_DFL); "
        "signal.pthread_sigmask(signal.SIG_SETMASK, []); print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", listens], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    with pytest.raises(KeyboardInterrupt), ended(process, 20.0):
        raise KeyboardInterrupt
    assert process.returncode == -signal.SIGTERM


def test_cuda_where_there_is_none_names_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    said = "neither nvidia-smi nor /proc/driver/nvidia .*CUDA_VISIBLE_DEVICES= lets through"
    with pytest.raises(PlatformError, match=said):
        ComputeResource(accelerator="cuda").resolve(Compute())


def test_auto_without_gpus_is_the_processor_and_overrides_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    got = ComputeResource(threads=1, precision="bf16-mixed").resolve(Compute(accelerator="auto", threads=64))
    assert (got.accelerator, got.threads, got.precision) == ("cpu", 1, "bf16-mixed")
    assert got.software["threads"] == "1"


def test_the_driver_tool_is_asked_for_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '0, GPU-5a1, NVIDIA H100\\n1, GPU-5b2, NVIDIA H100\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.gpus() == {"0": "NVIDIA H100", "1": "NVIDIA H100"}
    got = ComputeResource(devices=2, launcher="torchrun").resolve(Compute(accelerator="auto"))
    assert got.software["device"] == "2 cuda NVIDIA H100"
    # As CUDA reads it: indices or the beginnings of UUIDs, and nothing after a name that is none.
    for visible, indices in (("1", ["1"]), ("1, 0", ["1", "0"]), ("GPU-5b", ["1"]), ("0,-1,1", ["0"]), ("GPU-5", [])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert list(devices.gpus()) == indices, visible


def _alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
