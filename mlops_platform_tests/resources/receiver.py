"""A receiver of notifications: how it verifies one, and a real HTTP server that answers as a test says."""

import hashlib
import hmac
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "a secret that both sides know"


def verified(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> bool:
    """Whether a notification is the platform's, unaltered and not older than five minutes."""
    timestamp = headers["X-Mlops-Timestamp"]
    signed = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    fresh = abs(now - int(timestamp)) <= 300
    return fresh and hmac.compare_digest(f"sha256={signed}", headers["X-Mlops-Signature"])


@dataclass(frozen=True)
class Request:
    """One POST, as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(self.body)


Answer = int | Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Receiver:
    """What came, and what is answered: the answers given, one after another, then 200."""

    port: int = 0
    scheme: str = "http"
    answers: list[Answer] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook?token=hidden"

    @property
    def events(self) -> list[dict[str, Any]]:
        assert all(verified(each.headers, each.body, SECRET, time.time()) for each in self.requests)
        return [each.event for each in self.requests]


@contextmanager
def receiving(*answers: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A server on a free port of this machine until the block ends."""
    found = Receiver(answers=list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.requests.append(Request(self.path, dict(self.headers), body))
            answer = found.answers.pop(0) if found.answers else 200
            if callable(answer):
                answer(self)
                return
            self.send_response(answer)
            self.end_headers()

        def do_GET(self) -> None:
            raise AssertionError("a notification is never fetched: a redirect was followed")

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    found.port, found.scheme = server.server_address[1], "https" if tls else "http"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Answers a byte at a time, and never ends."""
    try:
        for _ in range(200):
            handler.wfile.write(b"H")
            handler.wfile.flush()
            time.sleep(0.1)
    except OSError:
        return


def silent(handler: BaseHTTPRequestHandler) -> None:
    """Never answers."""
    time.sleep(3)
    handler.close_connection = True


def redirected(handler: BaseHTTPRequestHandler, port: int) -> None:
    """Sends the sender elsewhere."""
    handler.send_response(307)
    handler.send_header("Location", f"http://127.0.0.1:{port}/elsewhere")
    handler.end_headers()
