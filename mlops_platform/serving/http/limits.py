"""Bounds of a worker: requests and bytes at a time, size of a body, time to send it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops_platform.serving.http.errors import RETRY_SECONDS, Refused, malformed, response, shown
from mlops_platform.serving.http.settings import Settings

PROBES = frozenset({"/livez", "/readyz", "/ping", "/health", "/metrics"})
"""Paths that are answered however busy a worker is."""
_CLOSE = {"connection": "close"}


@dataclass
class Load:
    """What a worker has at work.

    Attributes:
        requests: Requests begun and not ended, probes left out.
        held: Bytes of their bodies.
        waiting: Those of them that wait for a thread.
    """

    requests: int = 0
    held: int = 0
    waiting: int = 0


class Bounded:
    """Refuses requests beyond what a worker takes at a time."""

    def __init__(self, app: ASGIApp, settings: Settings, load: Load) -> None:
        self._app, self._most, self._load = app, settings.max_requests, load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Counts a request while it is at work."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        if self._load.requests >= self._most:
            scope["state"]["reason"] = "busy"
            await response(busy(f"{self._load.requests} requests at work"))(scope, receive, send)
            return
        self._load.requests += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._load.requests -= 1


def busy(found: str) -> Refused:
    """The refusal of a worker that has enough to do."""
    return Refused(
        429, "busy", required="a worker with room for one more request", found=found,
        remedy="ask again later; add workers where this lasts", headers={"retry-after": str(RETRY_SECONDS), **_CLOSE},
    )  # fmt: skip


def _declared_length(request: Request, settings: Settings) -> None:
    told = request.headers.get("content-length")
    if told is None:
        return
    if not (told.isascii() and told.isdigit()):
        raise malformed("a Content-Length", shown(told), "mend the header")
    if len(told) > 15 or int(told) > settings.max_body:
        raise _too_large(settings, f"{told[:20]} bytes")


def _require_plain(request: Request) -> None:
    """Refuses what is packed: a few bytes of it may be more than the machine holds."""
    coding = request.headers.get("content-encoding", "identity")
    if coding.strip().lower() not in ("", "identity"):
        raise Refused(
            415, "encoding", required="a body without Content-Encoding", found=shown(coding), remedy="send it unpacked",
            headers={"accept-encoding": "identity", **_CLOSE},
        )  # fmt: skip
    transfer = request.headers.get("transfer-encoding", "chunked")
    if transfer.strip().lower() != "chunked":
        raise malformed("Transfer-Encoding chunked, or none", shown(transfer), "send it unpacked")


def _too_large(settings: Settings, found: str) -> Refused:
    return Refused(
        413, "body", required=f"a body of at most {settings.max_body:,} bytes", found=found,
        remedy="divide it, send Arrow, or ask the operator for a higher --max-body", headers=_CLOSE,
    )  # fmt: skip


@asynccontextmanager
async def reading(request: Request, settings: Settings, load: Load) -> AsyncIterator[bytes]:
    """The body of a request, counted as held until the block ends.

    Raises:
        Refused: 415 or 400 where it is packed; 413 as soon as it is, or says that it is, too large; 408 where it comes
            too slowly; 429 where bodies at work fill the memory meant for them.
    """
    _declared_length(request, settings)
    _require_plain(request)
    held = 0
    pieces: list[bytes] = []
    try:
        try:
            async with asyncio.timeout(settings.body_seconds):
                async for piece in request.stream():
                    held += len(piece)
                    load.held += len(piece)
                    if held > settings.max_body:
                        raise _too_large(settings, f"more than {settings.max_body:,} bytes")
                    if load.held > settings.max_held:
                        raise busy(f"{load.held:,} bytes of bodies at work")
                    pieces.append(piece)
        except TimeoutError:
            raise Refused(
                408, "slow", required=f"a whole body in {settings.body_seconds:g} seconds", found=f"{held:,} bytes",
                remedy="send it faster, or in smaller requests", headers=_CLOSE,
            ) from None  # fmt: skip
        except ClientDisconnect:
            raise malformed("a whole body", "a connection closed before its end", "send it whole") from None
        yield b"".join(pieces)
    finally:
        load.held -= held
