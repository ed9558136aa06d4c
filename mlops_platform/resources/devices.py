"""The devices of this machine: which there are, found without torch, and who holds them.

A lease is an exclusive ``flock`` on one small file a device. The kernel frees it when the last process that has the
file open is gone, however it went, so nothing has to be cleaned up after a kill.
"""

import contextlib
import fcntl
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from mlops_platform.errors import PlatformError

_NVIDIA = Path("/proc/driver/nvidia/gpus")
_POLL_SECONDS = 0.2
# Notes are as long as this, so that one write replaces the one before.
_NOTE_BYTES = 1024


class _Gpu(NamedTuple):
    model: str
    uuid: str


def gpus() -> dict[str, str]:
    """Models of the NVIDIA devices by index on the bus, those that ``CUDA_VISIBLE_DEVICES`` hides left out."""
    found = _asked_driver_tool() or _asked_driver()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    named = found if visible is None else takewhile(bool, (_index(name.strip(), found) for name in visible.split(",")))
    return {index: found[index].model for index in named}


def _index(name: str, found: Mapping[str, _Gpu]) -> str:
    """Of the device that CUDA means by an index or the beginning of a UUID; nothing for none, which ends its list."""
    if name in found:
        return name
    alike = [index for index, gpu in found.items() if name.startswith("GPU-") and gpu.uuid.startswith(name)]
    return alike[0] if len(alike) == 1 else ""


def cpus() -> list[str]:
    """Names of the processors that this process may use, counted from 0."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [str(index) for index in range(allowed)]


def device_class(accelerator: str, models: Mapping[str, str]) -> str:
    """What decides bits beside the software: the kind of processor, or the models of GPU."""
    if accelerator == "cpu":
        return f"cpu {platform.machine()}"
    return "cuda " + ", ".join(sorted(set(models.values())))


@dataclass(frozen=True)
class Lease:
    """Devices held.

    Attributes:
        kind: ``cpu`` or ``cuda``.
        indices: Which.
        handles: File descriptors of the locks; a child process that inherits them holds the lease, too.
    """

    kind: str
    indices: tuple[str, ...]
    handles: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who took a lease.

    Attributes:
        pid: Of the process that took it; a training program that holds it, too, may outlive that one by a moment.
        since: When, ISO 8601 in UTC.
        run_id: Of the Dagster run; empty where there is none.
        model: ``project/model``; empty where there is none.
    """

    pid: int
    since: str
    run_id: str = ""
    model: str = ""

    def __str__(self) -> str:
        whose = f"{self.model}, run {self.run_id[:8]}, " if self.model else ""
        return f"{whose}process {self.pid}, since {self.since[:16].replace('T', ' ')} UTC"


@dataclass(frozen=True, kw_only=True)
class DeviceState:
    """A device of this machine and who holds it.

    Attributes:
        kind: ``cpu`` or ``cuda``.
        index: As leases name it.
        model: What it is.
        holder: None where it is free.
    """

    kind: str
    index: str
    model: str
    holder: Holder | None


def device_states(folder: Path) -> list[DeviceState]:
    """Every device of this machine, GPUs first.

    Args:
        folder: Of the lock files; it may not be there yet.
    """
    there = [("cuda", index, model) for index, model in gpus().items()]
    there += [("cpu", index, platform.machine()) for index in cpus()]
    return [
        DeviceState(kind=kind, index=index, model=model, holder=holder_of(folder / f"{kind}-{index}"))
        for kind, index, model in there
    ]


def holder_of(path: Path) -> Holder | None:
    """Who holds a device now; whoever died holds none.

    Args:
        path: The device's lock file; it may not be there yet.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        # Held for a moment, shared: a contender who comes in between tries again.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        note = os.pread(handle, _NOTE_BYTES, 0)
        return Holder(**json.loads(note)) if note else Holder(pid=0, since="")
    else:
        return None
    finally:
        os.close(handle)


@contextlib.contextmanager
def lease(
    folder: Path, kind: str, candidates: list[str], count: int, *, wait_seconds: float,
    waiting: Callable[[str], None] = lambda holders: None, run_id: str = "", model: str = "",
) -> Iterator[Lease]:  # fmt: skip
    """Holds ``count`` of the candidate devices, all or none, until the block ends.

    Args:
        folder: Of the lock files, on a local disk.
        kind: ``cpu`` or ``cuda``.
        candidates: Indices to choose from.
        count: How many are needed.
        wait_seconds: How long to wait for others.
        waiting: Told once who holds them, when waiting begins.
        run_id, model: Who asks, for those who look; see ``Holder``.

    Raises:
        PlatformError: They were not free in time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline, told = time.monotonic() + wait_seconds, False
    while (held := _try(folder, kind, candidates, count, run_id, model)) is None:
        holders = _holders(folder, kind, candidates)
        if time.monotonic() >= deadline:
            raise PlatformError(
                required=f"{count} free {kind} device(s) within {wait_seconds:g} s", found=f"held: {holders}",
                remedy="wait for those trainings, cancel one, or raise lease_wait_seconds of the compute resource",
            )  # fmt: skip
        if not told:
            waiting(holders)
            told = True
        time.sleep(_POLL_SECONDS)
    try:
        yield held
    finally:
        # Closed, not unlocked: unlocking would take the lease from a child that still runs.
        for handle in held.handles:
            os.close(handle)


def _try(folder: Path, kind: str, candidates: list[str], count: int, run_id: str, model: str) -> Lease | None:
    taken: dict[str, int] = {}
    for index in candidates:
        if len(taken) == count:
            break
        handle = os.open(folder / f"{kind}-{index}", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            continue
        taken[index] = handle
    if len(taken) < count:
        for handle in taken.values():
            os.close(handle)
        return None
    holder = Holder(pid=os.getpid(), since=datetime.now(UTC).isoformat(), run_id=run_id, model=model)
    for handle in taken.values():
        os.pwrite(handle, json.dumps(asdict(holder)).encode().ljust(_NOTE_BYTES), 0)
    return Lease(kind, tuple(taken), tuple(taken.values()))


def _holders(folder: Path, kind: str, candidates: list[str]) -> str:
    """Who holds which of the candidates, each holder once."""
    held: dict[str, list[str]] = {}
    for index in candidates:
        if (holder := holder_of(folder / f"{kind}-{index}")) is not None:
            held.setdefault(str(holder), []).append(index)
    told = "; ".join(f"{kind} {', '.join(indices)} by {holder}" for holder, indices in held.items())
    return told or f"none of {len(candidates)}"


def _asked_driver_tool() -> dict[str, _Gpu]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return {}
    command = [tool, "--query-gpu=index,uuid,name", "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    lines = answer.stdout.splitlines() if answer.returncode == 0 else []
    told = [[word.strip() for word in line.split(",", 2)] for line in lines]
    return {words[0]: _Gpu(words[2], words[1]) for words in told if len(words) == 3}


def _asked_driver() -> dict[str, _Gpu]:
    found = {}
    for index, gpu in enumerate(sorted(_NVIDIA.iterdir()) if _NVIDIA.is_dir() else ()):
        lines = (gpu / "information").read_text(encoding="utf-8").splitlines()
        told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        found[str(index)] = _Gpu(told.get("Model", "NVIDIA"), told.get("GPU UUID", ""))
    return found
