"""Runs a child under limits that the kernel enforces, and says why it was stopped if it was.

Memory: a control group below the one this process is in, where that may be made (v1, or v2 with the controller
delegated), else ``RLIMIT_DATA``. A control group counts resident memory and page cache, which gives way; RLIMIT_DATA
counts what is reserved too, so it is the stricter of the two. Wall time, and what a child spills to disk, are watched
from here.
"""

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.costs import QUIET
from benchmarks.homes import ROOT

_GROUPS = Path("/sys/fs/cgroup")
_SPILL_GIB, _SPARE_GIB = 16, 4  # that a child may write where it runs, and that stay free on the disk
_WAIT = 0.02


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Of a finished child.

    Attributes:
        output: What it printed.
        stopped: Why it was stopped, or how it failed; empty if it ended well.
        seconds: Wall time.
    """

    output: str
    stopped: str
    seconds: float


class Memory:
    """A limit for the children of one run; a context manager."""

    def __init__(self, gib: float) -> None:
        self.gib = gib
        self._group: Path | None = None

    def __enter__(self) -> "Memory":
        # Asked to end, this process still ends its children and removes its groups and what was spilled.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        self._group = _new_group(int(self.gib * 2**30))
        return self

    def __exit__(self, *error: object) -> None:
        for _ in range(100 if self._group else 0):
            with contextlib.suppress(OSError):
                assert self._group is not None
                self._group.rmdir()
                return
            time.sleep(_WAIT)

    @property
    def how(self) -> str:
        """What enforces it."""
        kind = "RLIMIT_DATA" if self._group is None else f"control group, {self._group.relative_to(_GROUPS).parts[0]}"
        return f"{self.gib:g} GiB ({kind})"

    def enter(self) -> None:
        """Puts the calling process under it."""
        if self._group is None:
            resource.setrlimit(resource.RLIMIT_DATA, (int(self.gib * 2**30),) * 2)
        else:
            (self._group / "cgroup.procs").write_text(str(os.getpid()))

    def kills(self) -> int:
        """How many processes the kernel has killed for it."""
        files = [] if self._group is None else [self._group / "memory.oom_control", self._group / "memory.events"]
        lines = [line.split() for file in files if file.exists() for line in file.read_text().splitlines()]
        return sum(int(value) for name, value in lines if name == "oom_kill")


def _new_group(limit: int) -> Path | None:
    """A group below this process's own, or None where there may be none."""
    own = {kind: path for _, kind, path in (line.split(":", 2) for line in _own_groups())}
    name = f"benchmark-{uuid.uuid4().hex[:8]}"
    places = ((_GROUPS / "memory", own.get("memory"), "memory.limit_in_bytes"), (_GROUPS, own.get(""), "memory.max"))
    for root, path, file in places:
        group = root / (path or "").lstrip("/") / name
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / file).exists():
            (group / file).write_text(str(limit))
            return group
        group.rmdir()
    return None


def _own_groups() -> list[str]:
    with contextlib.suppress(OSError):
        return Path("/proc/self/cgroup").read_text().splitlines()
    return []


def run(command: Sequence[str], *, cwd: Path, memory: Memory, seconds: float,
        env: Mapping[str, str] | None = None) -> Outcome:  # fmt: skip
    """Runs a command to its end, or to a limit.

    Args:
        command: Program and arguments.
        cwd: In a new folder below this one, which is for what it spills.
        memory: Its limit, entered.
        seconds: Wall time that it may take.
        env: Variables to add to this process's.
    """
    variables = {**os.environ, **QUIET, "TZ": "UTC", "PYTHONPATH": str(ROOT), **(env or {})}
    kills = memory.kills()
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
        tempfile.TemporaryDirectory(prefix="spilled-", dir=cwd) as scratch,
    ):
        begun = time.perf_counter()
        process = subprocess.Popen(command, cwd=scratch, stdout=out, stderr=err, env=variables, start_new_session=True,
                                   preexec_fn=memory.enter)  # fmt: skip
        stopped = ""
        with _killed_at_the_end(process):
            while process.poll() is None and not stopped:
                time.sleep(_WAIT)
                if time.perf_counter() - begun > seconds:
                    stopped = f"over time: {seconds:g} s"
                elif spilled := _spilled(Path(scratch)):
                    stopped = spilled
        taken = time.perf_counter() - begun
        if not stopped and process.returncode:
            over = memory.kills() > kills
            stopped = f"over memory: {memory.how}" if over else f"failed: {_reason(err, process.returncode)}"
        out.seek(0)
        return Outcome(output=out.read(), stopped=stopped, seconds=taken)


@contextlib.contextmanager
def _killed_at_the_end(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _spilled(folder: Path) -> str:
    """Why a child that wrote so much there is stopped; empty if it is not."""
    written = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):  # gone meanwhile
            written += file.stat().st_blocks * 512
    if written > _SPILL_GIB << 30:
        return f"over disk: spilled {_SPILL_GIB} GiB"
    left = shutil.disk_usage(folder).free < _SPARE_GIB << 30
    return f"over disk: {_SPARE_GIB} GiB of it were left" if left else ""


def _reason(err: IO[str], code: int) -> str:
    """The error that a traceback ends in, else the last line, else the exit code."""
    err.seek(0)
    lines = [line.strip() for line in err if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return ((errors or lines or [""])[-1])[:160] or f"exit code {code}"
