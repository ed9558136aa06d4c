"""How much memory a join may use: a declared budget, or three quarters of what the machine or its cgroup allows."""

import os
import re
from pathlib import Path

from mlops_platform.point_in_time.errors import PointInTimeError

_SHARE = 0.75
_CGROUP = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_FILES = ("memory.max", "memory.limit_in_bytes")  # of cgroup v2, of v1
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_NO_LIMIT = 2**60


def parse_bytes(size: int | str) -> int:
    """Return a size in bytes from an integer or a text such as `6GiB`, `500 MB`, `1.5G`.

    Raises:
        PointInTimeError: It is no size, or not above zero.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?\s*", str(size).upper())
    if found is None or found[2] not in _UNITS or (size_in_bytes := int(float(found[1]) * _UNITS[found[2]])) <= 0:
        raise PointInTimeError(f"memory budget: required is a size such as 6GiB or 500MB, above zero; found {size!r}.")
    return size_in_bytes


def allowed_bytes() -> int:
    """Return what this process may use at all: the machine's memory, or less where a cgroup says so."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [_limit(folder / name) for folder in _own_groups() for name in _FILES]
    return min([machine, *limits])


def default_budget() -> int:
    """Return three quarters of `allowed_bytes`, in bytes."""
    return int(allowed_bytes() * _SHARE)


def used_bytes() -> int:
    """Return what this process holds now, in bytes; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except FileNotFoundError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _own_groups() -> list[Path]:
    """The folders of this process's memory cgroup and of all above it; the root is a container's own view."""
    try:
        lines = _OWN.read_text().splitlines()
    except FileNotFoundError:
        return []
    folders: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = _CGROUP / "memory" if controllers else _CGROUP
        inside = root / path.lstrip("/")
        folders += [inside, *(parent for parent in inside.parents if parent.is_relative_to(root))]
    return folders


def _limit(file: Path) -> int:
    try:
        text = file.read_text().strip()
    except OSError:  # this kind of cgroup has no such file, or this level is not shown to us
        return _NO_LIMIT
    return _NO_LIMIT if text == "max" else int(text)
