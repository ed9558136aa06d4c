"""Locks between processes: one writer at a time, let go by the kernel when the holder dies."""

import contextlib
import fcntl
from collections.abc import Iterator

from mlops_platform.resources.home import Home


@contextlib.contextmanager
def exclusive(home: Home, name: str) -> Iterator[None]:
    """Waits for a named lock of the home and holds it until the block ends.

    Args:
        home: Whose lock.
        name: For example ``flights.flights.raw``; slashes become dots.
    """
    home.leases.mkdir(parents=True, exist_ok=True)
    with (home.leases / f"{name.replace('/', '.')}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
