"""The leash: by which every process of a training program, however deep it was started, ends with its launcher.

Each connects to a socket of the launcher's, is given the device leases to hold, and goes when the connection breaks;
the kernel breaks it when the launcher dies, however it went. The launcher in turn knows by it who is still there.
"""

import contextlib
import os
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType

from mlops_platform.errors import TrainingError

SOCKET = "MLOPS_LEASH"
_WAIT_SECONDS = 30.0
_PID_BYTES = 12


class Leash:
    """The launcher's end.

    Attributes:
        env: Variables by which the program finds it.
    """

    def __init__(self, hold: tuple[int, ...]) -> None:
        """Opens the socket.

        Args:
            hold: Descriptors that each process keeps open as long as it lives.
        """
        self._hold = hold
        self._folder = tempfile.TemporaryDirectory(prefix="mlops-leash-")
        path = Path(self._folder.name) / "s"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(128)
        self._held: list[tuple[int, socket.socket]] = []
        self._thread = threading.Thread(target=self._serve, daemon=True, name="leash")
        self.env = {SOCKET: str(path)}

    def __enter__(self) -> "Leash":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A listener that is only closed would leave the thread in ``accept``.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        self._folder.cleanup()
        self._end()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            # Its process id, by which it can be killed; nothing from one that died in between.
            if pid := connection.recv(_PID_BYTES):
                socket.send_fds(connection, [b"."], list(self._hold))
                self._held.append((int(pid), connection))

    def _end(self) -> None:
        """Kills whoever is still there, its own children too, and waits until the kernel is done with them."""
        deadline = time.monotonic() + _WAIT_SECONDS
        for pid, connection in self._held:
            connection.settimeout(0)
            if not _is_gone(connection):
                kill_group(pid)
        for pid, connection in self._held:
            with connection:
                connection.settimeout(max(deadline - time.monotonic(), 0.1))
                if not _is_gone(connection):
                    raise TrainingError(
                        required=f"process {pid} of the training program to end", found="it lives after SIGKILL",
                        remedy="the kernel holds it, say in a driver: see its state in /proc, and restart the machine",
                    )  # fmt: skip


def kill_group(leader: int) -> None:
    """Kills a process and those of its group, as far as they are still there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _is_gone(connection: socket.socket) -> bool:
    """Whether the other end is closed, waiting as long as the connection's time-out says."""
    try:
        return connection.recv(1) == b""
    except (BlockingIOError, TimeoutError):
        return False
    except ConnectionResetError:
        return True
