"""How much more memory this process may take: what is free, and what limits of the kernel leave of it."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")


def available() -> int:
    """Bytes that this process can still take, the least that any of these leaves.

    The memory of the machine that is free or easily freed, the control groups that this process is in (version 1 or 2;
    file pages in them give way, so they count as free), ``RLIMIT_DATA`` and ``RLIMIT_AS``.
    """
    return max(0, min(_machine(), *_groups(), *_limits()))


def _machine() -> int:
    told = _numbers(Path("/proc/meminfo"))
    if "MemAvailable" in told:
        return told["MemAvailable"] * 1024
    # Beyond Linux nobody tells what is free.
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _groups() -> Iterator[int]:
    """What each control group above this process leaves."""
    listed = Path("/proc/self/cgroup")
    for line in listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else ():
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            yield from _group(_GROUPS, path, "memory.max", "memory.current", "file")
        elif "memory" in kinds.split(","):
            yield from _group(_GROUPS / "memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache")


def _group(root: Path, path: str, limit: str, usage: str, pages: str) -> Iterator[int]:
    # In a container the group's path is that of the host, of which only the root is mounted.
    place = root / path.lstrip("/")
    for folder in (place, *place.parents):
        if folder.is_relative_to(root) and (folder / limit).is_file():
            allowed = (folder / limit).read_text(encoding="utf-8").strip()
            if allowed != "max":
                used = int((folder / usage).read_text(encoding="utf-8"))
                yield int(allowed) - used + _numbers(folder / "memory.stat").get(pages, 0)


def _limits() -> Iterator[int]:
    used = _numbers(Path("/proc/self/status"))
    for limit, counted in ((resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize")):
        allowed, _ = resource.getrlimit(limit)
        if allowed != resource.RLIM_INFINITY:
            yield allowed - used.get(counted, 0) * 1024


def _numbers(file: Path) -> dict[str, int]:
    """The lines ``name: number`` or ``name number`` of a file of the kernel."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    pairs = [line.replace(":", " ").split() for line in lines]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) > 1 and pair[1].isdigit()}
