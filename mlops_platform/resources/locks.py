"""Locks between processes: one writer at a time, let go by the kernel when the holder dies."""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

from mlops_platform.errors import PlatformError
from mlops_platform.resources.home import Home

RUNS = "gc"
"""Held shared by every run, and alone by a garbage collection."""
WRITER = "lock"
"""File of a folder of saves that the training which writes there holds alone."""
_TRY = 0.05


@contextlib.contextmanager
def exclusive(home: Home, name: str) -> Iterator[None]:
    """Waits for a named lock of the home and holds it until the block ends.

    Args:
        home: Whose lock.
        name: For example ``flights.flights.raw``; slashes become dots.
    """
    with _file(home, name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def shared(home: Home, name: str) -> Iterator[None]:
    """Waits until nobody holds a named lock alone, and holds it together with others until the block ends."""
    with _file(home, name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def at_rest(home: Home, name: str, wait: float) -> Iterator[None]:
    """Holds a named lock alone, as ``exclusive`` does, but gives up after a while.

    Args:
        home: Whose lock.
        name: Which.
        wait: Seconds.

    Raises:
        PlatformError: Somebody held it all the time.
    """
    until = time.monotonic() + wait
    with _file(home, name).open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > until:
                    raise PlatformError(
                        required=f"no run to be at work on {home.root}",
                        found=f"at least one, for the {wait:g} seconds that were waited",
                        remedy="do it when the run has ended (mlops status lists them), or wait longer: --wait SECONDS",
                    ) from error
                time.sleep(_TRY)
        yield


def is_held(path: Path) -> bool:
    """Whether a process holds a lock file alone."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _file(home: Home, name: str) -> Path:
    home.leases.mkdir(parents=True, exist_ok=True)
    return home.leases / f"{name.replace('/', '.')}.lock"
