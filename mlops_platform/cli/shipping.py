"""The process beside the workers of ``mlops serve`` that ships their answers to the prediction log."""

import contextlib
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mlops_platform.errors import PlatformError
from mlops_platform.resources.home import Home
from mlops_platform.spec import Project

EVERY = 5.0
"""Seconds between two looks at the journals."""
_AGAIN = 5.0
_LAST = 60.0
_LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def shipping(home: Home, project: Project, names: tuple[str, ...], listener: socket.socket) -> Iterator[None]:
    """Ships in a process of its own until the block ends, and then once more: by that time every worker has ended.

    It is forked, so it is to be entered before this process starts a thread. Where the shipper dies it is started
    again; where this process is killed it ships once more and ends.

    Args:
        home, project: Whose journals.
        names: Of the models.
        listener: The service's, which the shipper does not keep.
    """
    read, write = os.pipe()
    keeper = os.fork()
    if keeper == 0:
        os.close(write)
        listener.close()
        _leave(_keep, read, home, project, names)
    os.close(read)
    try:
        yield
    finally:
        os.close(write)
        _wait(keeper, _LAST)


def _keep(life: int, home: Home, project: Project, names: tuple[str, ...]) -> None:
    """Starts the shipper again where it died; nothing here can be hurt by what hurts the shipper."""
    _deaf()
    while True:
        shipper = os.fork()
        if shipper == 0:
            _leave(_ship, life, home, project, names)
        _, status = os.waitpid(shipper, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            return
        time.sleep(_AGAIN)


def _ship(life: int, home: Home, project: Project, names: tuple[str, ...]) -> None:
    """Ships every few seconds until the parent is gone, and once more then."""
    from mlops_platform.serving.http.logs import log_lines

    log_lines()
    ended = False
    while not ended:
        ended = bool(select.select([life], [], [], EVERY)[0])
        for name in names:
            _look(home, project, name)


def _look(home: Home, project: Project, name: str) -> None:
    """One look at the journals of a model; what goes wrong is told and tried again, nothing is lost by it."""
    folder: Path = home.journals(project.name, name)
    if not folder.is_dir() or not any(path.suffix == ".journal" for path in folder.iterdir()):
        return
    from deltalake.exceptions import DeltaError

    from mlops_platform.resources.prediction_log.shipping import ship

    try:
        found = ship(home, project, project.model(name))
    except (PlatformError, OSError, DeltaError) as error:
        _LOG.error("answers of %s wait in %s, not yet in the prediction log: %s", name, folder, error)
        return
    for segment, size in found.cut.items():
        _LOG.warning("%s of %s ended in %d bytes of an answer that nobody was sent", segment, name, size)
    for segment in found.damaged:
        _LOG.error("%s of %s was changed on the disk; its whole records are in the log, it is in damaged/",
                   segment, name)  # fmt: skip


def _deaf() -> None:
    """Ctrl-C and the like are for the parent, which tells of its end."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _leave(work: Callable[..., None], *given: object) -> None:
    """Works in a forked process, and leaves it without running anything of the parent's."""
    code = 1
    try:
        work(*given)
        code = 0
    finally:
        if code:
            _LOG.exception("the shipper of answers failed")
        os._exit(code)


def _wait(process: int, seconds: float) -> None:
    """Waits for a process to end; beyond the time it is left to end by itself."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitpid(process, os.WNOHANG)[0]:
            return
        time.sleep(0.05)
    _LOG.warning("the prediction log takes long; what waits in the journals is shipped by the next look")
