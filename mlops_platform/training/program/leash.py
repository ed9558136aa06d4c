"""The leash: by which a launcher that is gone, however it went, takes its training program with it."""

import os
import signal
import socket
import threading

VARIABLE = "MLOPS_PARENT_FD"
"""Names a pipe that was inherited from the launcher."""
SOCKET = "MLOPS_LEASH"
"""Names a socket of the launcher's, for processes that inherit nothing from it."""
_MOST_HANDLES = 1024


def follow_parent() -> None:
    """Ends this process, and its children, when the launcher's end closes; the kernel closes a dead one's."""
    if SOCKET in os.environ:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(os.environ[SOCKET])
            connection.sendall(f"{os.getpid():12}".encode())
        except (FileNotFoundError, ConnectionRefusedError, BrokenPipeError):
            _leave()
        # The device leases: held as long as they are open, which is as long as this process lives.
        socket.recv_fds(connection, 1, _MOST_HANDLES)
        pipe = connection.detach()
    elif VARIABLE in os.environ:
        pipe = int(os.environ[VARIABLE])
    else:
        return

    def watch() -> None:
        os.read(pipe, 1)
        _leave()

    threading.Thread(target=watch, daemon=True, name="leash").start()


def _leave() -> None:
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(128 + signal.SIGTERM)
