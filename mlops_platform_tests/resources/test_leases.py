"""Four devices, eight contenders, and SIGKILL at random: never two on one device, and never a device lost."""

import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from mlops_platform.resources.devices import device_states, holder_of, lease

ROOT = Path(__file__).parents[2]
DEVICES = ["0", "1", "2", "3"]
# Notes what it holds in a file that takes each line whole; a child holds the lease, too, and outlives a killed parent.
CONTEND = """
import os, random, signal, subprocess, sys, time
from pathlib import Path
from mlops_platform.resources.devices import lease
folder, seed = Path(sys.argv[1]), int(sys.argv[2])
chance = random.Random(seed)
log = os.open(folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def note(what, pid, devices):
    os.write(log, f"{time.monotonic_ns()} {what} {pid} {','.join(devices)}\\n".encode())
while True:
    with lease(folder / "leases", "cuda", ["0", "1", "2", "3"], chance.choice([1, 1, 1, 2]), wait_seconds=60,
               run_id=f"run-{seed}", model="shop/sells") as held:
        note("took", os.getpid(), held.indices)
        child = None
        if chance.random() < 0.3:
            child = subprocess.Popen(["sleep", "0.15"], pass_fds=held.handles)
            note("child", child.pid, held.indices)
        time.sleep(chance.uniform(0.005, 0.08))
        if child is not None:
            child.wait()
        note("gave", os.getpid(), held.indices)
"""


def contend(folder: Path, seed: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", CONTEND, str(folder), str(seed)], cwd=ROOT)


def fight(folder: Path, seconds: float, seed: int) -> tuple[int, dict[int, int]]:
    """Lets eight contend and kills some at random, each replaced at once.

    Returns:
        How often a device was taken, and when each process was sent SIGKILL.
    """
    chance, killed = random.Random(seed), dict[int, int]()
    fighters = [contend(folder, seed + place) for place in range(8)]
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            time.sleep(chance.uniform(0.02, 0.3))
            place = chance.randrange(8)
            killed[fighters[place].pid] = time.monotonic_ns()
            fighters[place].send_signal(signal.SIGKILL)
            fighters[place].wait()
            fighters[place] = contend(folder, seed + 8 + len(killed))
    finally:
        for fighter in fighters:
            killed[fighter.pid] = time.monotonic_ns()
            fighter.kill()
            fighter.wait()
    return (folder / "log").read_text().count(" took "), killed


def spans(folder: Path, killed: dict[int, int]) -> dict[str, list[tuple[int, int]]]:
    """When each device was surely held: from the note that it was taken until it was given back, or the kill."""
    found, begun = defaultdict[str, list[tuple[int, int]]](list), dict[int, tuple[int, list[str]]]()
    for line in (folder / "log").read_text().splitlines():
        at, what, pid, devices = line.split(" ")
        if what == "took":
            begun[int(pid)] = int(at), devices.split(",")
        elif what == "gave":
            since, held = begun.pop(int(pid))
            for device in held:
                found[device].append((since, int(at)))
    for pid, (since, held) in begun.items():
        for device in held:
            found[device].append((since, killed[pid]))
    return found


def judge(folder: Path, seconds: float, seed: int) -> int:
    taken, killed = fight(folder, seconds, seed)
    held = spans(folder, killed)
    assert set(held) == set(DEVICES)
    for device, times in held.items():
        times.sort()
        overlaps = [(one, two) for one, two in pairwise(times) if two[0] < one[1]]
        assert overlaps == [], device
    # Every device can be had once the last child is gone.
    with lease(folder / "leases", "cuda", DEVICES, 4, wait_seconds=5) as all_of_them:
        assert all_of_them.indices == tuple(DEVICES)
        assert all(holder_of(folder / "leases" / f"cuda-{device}") for device in DEVICES)
    assert not any(holder_of(folder / "leases" / f"cuda-{device}") for device in DEVICES)
    return taken


def test_eight_contend_for_four_devices(tmp_path: Path) -> None:
    assert judge(tmp_path, seconds=6, seed=1) > 50


@pytest.mark.soak
def test_eight_contend_for_four_devices_for_long(tmp_path: Path) -> None:
    for round_ in range(30):
        folder = tmp_path / str(round_)
        folder.mkdir()
        assert judge(folder, seconds=60, seed=1000 * round_) > 500


def test_a_child_holds_what_its_killed_parent_took(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; from pathlib import Path; from mlops_platform.resources.devices import lease\n"
        "with lease(Path(sys.argv[1]), 'cuda', ['0'], 1, wait_seconds=0, model='shop/sells') as held:\n"
        "    subprocess.Popen(['sleep', '1'], pass_fds=held.handles); print('up', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == b"up\n"
        parent.kill()
    holder = holder_of(tmp_path / "cuda-0")
    assert holder is not None and (holder.pid, holder.model) == (parent.pid, "shop/sells")
    assert str(holder).startswith("shop/sells, run ") and str(holder).endswith("UTC")
    with lease(tmp_path, "cuda", ["0"], 1, wait_seconds=5):
        pass


def test_the_devices_of_this_machine_and_who_holds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert all(state.holder is None and state.kind == "cpu" for state in device_states(tmp_path / "nowhere"))
    with lease(tmp_path, "cpu", ["0"], 1, wait_seconds=0, run_id="abcdef123456", model="shop/sells"):
        first, *others = device_states(tmp_path)
        assert first.holder is not None and first.holder.run_id == "abcdef123456"
        assert all(state.holder is None for state in others)
