"""Structured logs: one JSON line an event, with ids and figures and nothing that a caller sent."""

import json
import logging
import re
import secrets
import sys
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlops_platform.serving.http.metrics import Metrics
from mlops_platform.serving.http.settings import Settings

REQUESTS = logging.getLogger("mlops_platform.serving.requests")
_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}\Z")
_TRACE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_TOLD = ("model", "version", "rows", "reason")


class Lines(logging.Formatter):
    """Log records as JSON lines; an exception by its type and frames, since its words may hold values."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(), "logger": record.name, "process": record.process,
            "message": record.getMessage(),
        }  # fmt: skip
        told |= getattr(record, "told", {})
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            frames = traceback.extract_tb(error.__traceback__)
            told["error"] = type(error).__name__
            if causes := list(_causes(error)):
                told["because"] = causes
            told["frames"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(told, ensure_ascii=True, default=str)


def _causes(error: BaseException) -> Iterator[str]:
    cause = error.__cause__
    while cause is not None:
        yield type(cause).__name__
        cause = cause.__cause__


def log_lines(level: int = logging.INFO) -> None:
    """Sends every log record of this process to standard error, as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


class Told:
    """Gives each request an id, measures it, and logs it when it has ended."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app, self._metrics, self._log = app, metrics, settings.log_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        state = scope.setdefault("state", {})
        number, correlation = _ids(scope)
        state["request_id"] = number
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", number.encode())]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.request(route, scope["method"], status, seconds, state.get("reason"))
            if self._log:
                told = {"id": number, "method": scope["method"], "route": route, "status": status,
                        "ms": round(seconds * 1e3, 3), **correlation,
                        **{name: state[name] for name in _TOLD if name in state}}  # fmt: skip
                REQUESTS.info("request", extra={"told": told})


def _ids(scope: Scope) -> tuple[str, dict[str, str]]:
    """Id of a request, the caller's where it sent a plain one, and the trace it belongs to."""
    number, correlation = "", {}
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _ID.match(value):
            number = value.decode()
        elif name == b"traceparent" and (found := _TRACE.fullmatch(value)):
            correlation["trace"] = found[1].decode()
    return number or secrets.token_hex(8), correlation
