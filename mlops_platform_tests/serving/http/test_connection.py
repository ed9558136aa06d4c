"""One connection and its requests: what is sent beside, before, between and after what a request should hold."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mlops_platform.serving.http import connection as connections
from mlops_platform.serving.live import LiveModel

PREDICT = "/v1/models/pump_repair/predict"
BODY = b'{"features":[{"pump":"P0","weekday":1,"pump_state__temperature":60,"pump_state__vibration":1}]}'
CHUNKED = b"%x\r\n%s\r\n0\r\n" % (len(BODY), BODY)
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
WEBSOCKET = ("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")


class Line:
    """A raw connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._rest = b""

    def ask(self, body: bytes, *headers: str) -> None:
        """Sends a request, by its length where no header says otherwise."""
        framing = (
            () if any(h.startswith(("Transfer", "Content-L")) for h in headers) else (f"Content-Length: {len(body)}",)
        )
        lines = (f"POST {PREDICT} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *framing, *headers)
        self.socket.sendall("\r\n".join((*lines, "", "")).encode() + body)

    def answer(self) -> tuple[int, dict[str, Any]]:
        """Status and body of the next answer."""
        while b"\r\n\r\n" not in self._rest:
            self._rest += self._piece()
        head, _, rest = self._rest.partition(b"\r\n\r\n")
        (size,) = (int(h[15:]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length:"))
        while len(rest) < size:
            rest += self._piece()
        self._rest = rest[size:]
        return int(head[9:12]), json.loads(rest[:size])

    def _piece(self) -> bytes:
        found = self.socket.recv(65_536)
        assert found, f"closed after {self._rest!r}"
        return found


class Slow:
    """A live model that takes its time."""

    def __init__(self, live: LiveModel, seconds: float) -> None:
        self._live, self._seconds = live, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._live, name)

    def answer(self, question: Any) -> Any:
        """Waits, then answers."""
        time.sleep(self._seconds)
        return self._live.answer(question)

    def close(self) -> None:
        """Leaves the model to others."""


@pytest.fixture
def line(module_serving: Callable[..., Any]) -> Iterator[Line]:
    """A connection to the usual application."""
    found = Line(module_serving().port)
    yield found
    found.socket.close()


@pytest.mark.parametrize("wish", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_would_speak_another_protocol_is_answered_in_this_one(
    line: Line, wish: tuple[str, ...], chunked: bool
) -> None:
    body, headers = (CHUNKED + b"\r\n", ("Transfer-Encoding: chunked",)) if chunked else (BODY, ())
    line.ask(body, *headers, *wish)
    assert line.answer()[0] == 200
    # The connection is as good as before, and several requests may be on their way.
    for _ in range(3):
        line.ask(body, *headers, *wish)
    line.ask(BODY)
    line.socket.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + "\r\n".join((*wish, "", "")).encode())
    line.ask(BODY)
    statuses = [line.answer() for _ in range(6)]
    assert [status for status, _ in statuses] == [200] * 6
    assert len({told["predictions"][0]["prediction_id"] for _, told in statuses if "predictions" in told}) == 5


def test_a_body_in_pieces_after_such_a_wish_is_waited_for(line: Line) -> None:
    for place in (0, 1, len(BODY) // 2):
        line.ask(BODY[:place], f"Content-Length: {len(BODY)}", *H2C)
        time.sleep(0.05)
        line.socket.sendall(BODY[place:])
        assert line.answer()[0] == 200


def test_what_comes_behind_a_body_is_no_header(module_serving: Callable[..., Any]) -> None:
    line = Line(module_serving(tokens=("a-token-long-enough",)).port)
    line.ask(CHUNKED + b"Authorization: Bearer a-token-long-enough\r\n\r\n", "Transfer-Encoding: chunked")
    assert line.answer()[0] == 401
    line.ask(CHUNKED + b"Host: evil.example\r\nAuthorization: Bearer no\r\n\r\n", "Transfer-Encoding: chunked",
             "Authorization: Bearer a-token-long-enough")  # fmt: skip
    assert line.answer()[0] == 200
    line.socket.close()


@pytest.mark.parametrize("last", [(), ("Connection: close",)], ids=["kept", "closed"])
def test_whoever_is_refused_while_it_sends_reads_the_refusal(
    serving: Callable[..., Any], live: LiveModel, last: tuple[str, ...]
) -> None:
    running = serving(max_requests=0)
    body, statuses = BODY + b" " * (4 << 20), []

    def ask() -> None:
        line = Line(running.port)
        # It sends all before it reads anything, as most clients do.
        line.ask(body, *last)
        statuses.append(line.answer()[0])
        line.socket.close()

    askers = [threading.Thread(target=ask) for _ in range(20)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert statuses == [429] * 20


def test_a_body_that_nobody_reads_does_not_come_for_ever(
    serving: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_LINGER", 0.2)
    running = serving(tokens=("a-token-long-enough",))
    line = Line(running.port)
    line.ask(b"5\r\n", "Transfer-Encoding: chunked")
    assert line.answer()[0] == 401
    deadline = time.monotonic() + 10
    with pytest.raises(ConnectionError):
        while time.monotonic() < deadline:
            line.socket.sendall(b"hello\r\n5\r\n")
            time.sleep(0.01)
    assert not running.server.server_state.connections
    line.socket.close()


def test_a_body_that_is_refused_but_sent_in_time_ends_no_connection(
    serving: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_LINGER", 0.3)
    line = Line(serving().port)
    line.ask(BODY[:1], f"Content-Length: {len(BODY)}", "Content-Type: text/plain", "Accept: nothing/known")
    assert line.answer()[0] == 406
    line.socket.sendall(BODY[1:])
    time.sleep(0.5)
    line.ask(BODY)
    assert line.answer()[0] == 200
    line.socket.close()


def test_a_small_answer_that_is_left_unread_holds_no_connection(serving: Callable[..., Any]) -> None:
    running = serving(write_seconds=0.3, idle_seconds=1)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(10)
        deaf.connect(("127.0.0.1", running.port))
        while not (open_now := running.server.server_state.connections):
            time.sleep(0.01)
        (server_side,) = open_now
        # Less than what a transport calls full stays with it, once the kernel takes no more.
        server_side._line.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        deaf.sendall(b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n" * 4)
        deadline = time.monotonic() + 10
        while running.server.server_state.connections and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not running.server.server_state.connections


def test_a_request_that_follows_too_slowly_takes_no_answer_from_the_one_at_work(
    serving: Callable[..., Any], live: LiveModel
) -> None:
    line = Line(serving(Slow(live, 0.6), header_seconds=0.2, inline=0).port)
    line.ask(BODY)
    line.socket.sendall(b"GET /livez HT")
    assert [line.answer()[0], line.answer()[0]] == [200, 408]
    line.socket.close()


def test_what_is_no_request_is_not_answered_in_the_place_of_the_one_at_work(
    serving: Callable[..., Any], live: LiveModel
) -> None:
    line = Line(serving(Slow(live, 0.4), inline=0).port)
    line.ask(BODY)
    time.sleep(0.1)
    line.socket.sendall(b"NO REQUEST\r\n\r\n")
    with pytest.raises((AssertionError, ConnectionError), match=r"closed after b''|reset"):
        line.answer()
    line.socket.close()
