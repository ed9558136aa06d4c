"""Bounds under load: too many requests, bodies too large or too slow, clients that do not read."""

import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mlops_platform.serving.live import LiveModel

PREDICT = "/v1/models/pump_repair/predict"
BODY = {"features": [{"pump": "P0", "weekday": 1, "pump_state__temperature": 60, "pump_state__vibration": 1}]}


class Slow:
    """A live model whose answers take a while, and wait for a word."""

    def __init__(self, live: LiveModel) -> None:
        self._live, self.go, self.asked = live, threading.Event(), threading.Semaphore(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._live, name)

    def answer(self, question: Any) -> Any:
        """Waits, then answers."""
        self.asked.release()
        assert self.go.wait(20)
        return self._live.answer(question)

    def close(self) -> None:
        """Leaves the model to others."""


def connected(running: Any) -> socket.socket:
    """A raw connection."""
    found = socket.create_connection(("127.0.0.1", running.port), timeout=10)
    return found


def heard(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    pieces = []
    while piece := connection.recv(65_536):
        pieces.append(piece)
    return b"".join(pieces)


def test_one_request_too_many_is_refused_and_told_when_to_come_back(
    serving: Callable[..., Any], live: LiveModel
) -> None:
    slow = Slow(live)
    running = serving(slow, max_requests=2, inline=0)
    codes: list[int] = []
    askers = [threading.Thread(target=lambda: codes.append(running.client.post(PREDICT, json=BODY).status_code))
              for _ in range(2)]  # fmt: skip
    for asker in askers:
        asker.start()
    for _ in askers:
        assert slow.asked.acquire(timeout=10)
    refused = running.client.post(PREDICT, json=BODY)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["found"] == "2 requests at work"
    # Those who ask whether the worker lives are answered all the same.
    assert running.client.get("/livez").status_code == 200
    assert 'mlops_queue_requests{what="requests"} 2.0' in running.client.get("/metrics").text
    slow.go.set()
    for asker in askers:
        asker.join()
    assert codes == [200, 200]
    assert running.client.post(PREDICT, json=BODY).status_code == 200


def test_a_request_that_gets_no_thread_in_time_is_refused(serving: Callable[..., Any], live: LiveModel) -> None:
    slow = Slow(live)
    running = serving(slow, threads=1, inline=0, wait_seconds=0.1)
    asker = threading.Thread(target=lambda: running.client.post(PREDICT, json=BODY))
    asker.start()
    assert slow.asked.acquire(timeout=10)
    assert running.client.post(PREDICT, json=BODY).status_code == 429
    slow.go.set()
    asker.join()


def test_a_slow_answer_keeps_nobody_else_waiting(serving: Callable[..., Any], live: LiveModel) -> None:
    slow = Slow(live)
    running = serving(slow, inline=0)
    asker = threading.Thread(target=lambda: running.client.post(PREDICT, json=BODY))
    asker.start()
    assert slow.asked.acquire(timeout=10)
    with httpx.Client(base_url=running.client.base_url) as other:
        started = time.perf_counter()
        assert other.get("/ping").status_code == 200
        assert time.perf_counter() - started < 2
    slow.go.set()
    asker.join()


@pytest.mark.parametrize("header", ["Content-Length: 99999999999999999999999", "Content-Length: 100001"])
def test_a_body_that_says_it_is_too_large_is_refused_unread(serving: Callable[..., Any], header: str) -> None:
    running = serving(max_body=100_000)
    with connected(running) as connection:
        connection.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                           f"{header}\r\n\r\n".encode())  # fmt: skip
        answer = heard(connection)
    assert answer.startswith(b"HTTP/1.1 413") or answer.startswith(b"HTTP/1.1 400")
    assert b'"required"' in answer


def test_a_body_that_grows_too_large_is_refused_where_it_does(serving: Callable[..., Any]) -> None:
    running = serving(max_body=100_000)

    def pieces() -> Any:
        for _ in range(1_000):
            yield b" " * 10_000

    with pytest.raises(httpx.TransportError):
        # It answers and closes: what is still being sent meets a closed connection, unless the answer is read first.
        answer = running.client.post(PREDICT, content=pieces(), headers={"content-type": "application/json"})
        assert answer.status_code == 413
        raise httpx.TransportError("answered")


def test_bodies_at_work_are_bounded_together(serving: Callable[..., Any], live: LiveModel) -> None:
    slow = Slow(live)
    running = serving(slow, max_held=1_000, inline=0)
    large = json.dumps(BODY).encode() + b" " * 800
    headers = {"content-type": "application/json"}
    asker = threading.Thread(target=lambda: running.client.post(PREDICT, content=large, headers=headers))
    asker.start()
    assert slow.asked.acquire(timeout=10)
    assert running.client.post(PREDICT, content=large, headers=headers).status_code == 429
    slow.go.set()
    asker.join()
    assert running.client.post(PREDICT, content=large, headers=headers).status_code == 200


def test_a_client_that_sends_its_headers_too_slowly_is_told_and_left(serving: Callable[..., Any]) -> None:
    running = serving(header_seconds=0.3)
    for begun in (b"", b"POST /v1/models/pump_repair/predict HTTP/1.1\r\nHost: loc"):
        with connected(running) as connection:
            connection.sendall(begun)
            assert heard(connection).startswith(b"HTTP/1.1 408")


def test_a_client_that_drips_a_second_request_is_left_too(serving: Callable[..., Any]) -> None:
    running = serving(header_seconds=0.3)
    with connected(running) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET /livez HT")
        answers = heard(connection)
    assert answers.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in answers


def test_a_client_that_sends_its_body_too_slowly_is_told_and_left(serving: Callable[..., Any]) -> None:
    running = serving(body_seconds=0.3)
    head = b"POST /v1/models/pump_repair/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with connected(running) as connection:
        connection.sendall(head + b"Content-Length: 100\r\n\r\n{")
        answer = heard(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"1 bytes" in answer


def test_a_client_that_leaves_in_its_body_harms_nobody(serving: Callable[..., Any]) -> None:
    running = serving()
    head = b"POST /v1/models/pump_repair/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with connected(running) as connection:
        connection.sendall(head + b"Content-Length: 100\r\n\r\n{")
    assert running.client.post(PREDICT, json=BODY).status_code == 200
    assert 'mlops_queue_requests{what="held"} 0.0' in running.client.get("/metrics").text


def test_a_client_that_does_not_read_is_left(serving: Callable[..., Any]) -> None:
    running = serving(write_seconds=0.3, max_rows=20_000)
    body = json.dumps({"features": BODY["features"] * 20_000, "return_features": True}).encode()
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", running.port))
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        deadline = time.monotonic() + 20
        while running.server.server_state.connections and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not running.server.server_state.connections


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GARBAGE\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", b"400"),
        (b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (b"CONNECT evil.example:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 300_000, b"431"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_told_so(serving: Callable[..., Any], sent: bytes, status: bytes) -> None:
    running = serving()
    with connected(running) as connection:
        try:
            connection.sendall(sent)
        except ConnectionError:
            assert status == b"431"
        try:
            answer = heard(connection)
        except ConnectionResetError:
            # It was told and closed while it was still sending.
            assert status == b"431"
            return
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:300]
    assert b'"required"' in answer
