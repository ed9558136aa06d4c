"""Connections come to all workers alike, and wait for none that stands still."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from mlops_platform.serving.http.sharing import seats

ASK = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


class Workers:
    """A supervisor with its workers."""

    def __init__(self, process: "subprocess.Popen[str]", workers: int) -> None:
        self.process = process
        self._port = int(self.line())
        self.until(f"beat {workers}")

    def line(self) -> str:
        """What it prints next."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def until(self, what: str) -> None:
        """Waits until it prints this."""
        while (told := self.line()) != what:
            assert told, "the supervisor ended"

    def connect(self) -> socket.socket:
        """A connection; a worker need not have taken it."""
        return socket.create_connection(("127.0.0.1", self._port), timeout=20)


@contextmanager
def working(workers: int, *files: int) -> Iterator[Workers]:
    """Workers at work."""
    module = "mlops_platform_tests.serving.http.pid_workers"
    command = (sys.executable, "-m", module, str(workers), *(str(each) for each in files))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Workers(process, workers)
        finally:
            process.terminate()
            process.wait(20)


def ask(line: socket.socket) -> int:
    """The worker at the other end."""
    line.sendall(ASK)
    told = b""
    while b"\r\n\r\n" not in told or len(told.partition(b"\r\n\r\n")[2]) < 8:
        piece = line.recv(4096)
        assert piece, "closed without an answer"
        told += piece
    return int(told.partition(b"\r\n\r\n")[2])


def test_connections_that_come_at_once_are_shared_out() -> None:
    with working(2) as service, ExitStack() as lines:
        for connections in (8, 64):
            opened = [lines.enter_context(service.connect()) for _ in range(connections)]
            held = Counter(ask(line) for line in opened)
            assert len(held) == 2
            # A worker that this machine keeps waiting takes fewer: what is promised is a share and not a half.
            assert min(held.values()) >= connections // 4, held
            for line in opened:
                line.close()


def test_a_worker_that_comes_back_takes_what_comes_next() -> None:
    with working(2) as service, ExitStack() as lines:
        first = [lines.enter_context(service.connect()) for _ in range(16)]
        killed = ask(first[0])
        kept = {ask(line) for line in first} - {killed}
        os.kill(killed, signal.SIGKILL)
        service.until("died")
        # Those of the dead one count no longer, or the one that is left would leave every connection to it.
        begun = time.monotonic()
        assert killed not in {ask(lines.enter_context(service.connect())) for _ in range(4)}
        assert time.monotonic() - begun < 5
        service.until("beat 2")
        assert kept.isdisjoint(ask(lines.enter_context(service.connect())) for _ in range(2))


def test_a_worker_that_stands_still_keeps_no_connection_waiting_and_later_catches_up() -> None:
    with working(2) as service, ExitStack() as lines:
        still = ask(lines.enter_context(service.connect()))
        os.kill(still, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            answered = {ask(lines.enter_context(service.connect())) for _ in range(20)}
            assert still not in answered
            assert time.monotonic() - begun < 10
        finally:
            os.kill(still, signal.SIGCONT)
        time.sleep(0.2)
        assert Counter(ask(lines.enter_context(service.connect())) for _ in range(16))[still] >= 13


def test_connections_beyond_what_a_worker_may_hold_wait_until_one_ends() -> None:
    with working(1, 160) as service, ExitStack() as lines:
        held = [lines.enter_context(service.connect()) for _ in range(32)]
        assert len({ask(line) for line in held}) == 1
        waits = lines.enter_context(service.connect())
        waits.sendall(ASK)
        assert not select.select([waits], [], [], 0.5)[0]
        ask(held[0])
        held[1].close()
        assert select.select([waits], [], [], 20)[0]


@pytest.mark.parametrize(("held", "leaves"), [((3, 2), True), ((2, 2), False), ((2, 3), False), ((5, None), False)])
def test_only_one_that_listens_and_holds_fewer_is_left_a_connection(held: tuple[int | None, ...], leaves: bool) -> None:
    places = seats(len(held))
    for seat, many in zip(places, held, strict=True):
        if many is not None:
            seat.sit()
            seat.count(many)
    assert places[0].has_most() is leaves
