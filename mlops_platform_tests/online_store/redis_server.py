"""A Redis server of one's own."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Starts one on a free port and stops it; gives host:port. Skips the test where there is no redis-server."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server here: make system installs it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait(port, server)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while True:
        assert server.poll() is None, "redis-server ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < until, "redis-server does not answer"
            time.sleep(0.02)
