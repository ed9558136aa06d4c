"""A connection that waits for no slow client: time and size of its headers, and of unread answers, are bounded."""

import json
from asyncio import TimerHandle, Transport
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

_MOST_HEADERS = 64 << 10
_BROKEN = {
    "required": "an HTTP/1.1 request",
    "found": "bytes that are none",
    "remedy": "mend the request line or headers",
}
_SLOW = {"required": "whole headers in time", "found": "some of them", "remedy": "send them faster"}
_LARGE = {"required": f"headers of at most {_MOST_HEADERS} bytes", "found": "more", "remedy": "send fewer"}


class Connection(HttpToolsProtocol):
    """uvicorn's connection with bounds.

    Attributes:
        header_seconds: From the connection, or the first byte of a further request, to the end of its headers.
        write_seconds: How long a client may leave an answer unread.
    """

    header_seconds: float
    write_seconds: float
    _patience: TimerHandle | None = None
    _stuck: TimerHandle | None = None
    _received = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """A client connects: its headers are awaited."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self._heard()
        self.resume_writing()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        if self._patience is None:
            self._wait()

    def on_headers_complete(self) -> None:
        """Its headers are whole."""
        self._heard()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes come; those of headers are counted."""
        if self._patience is not None:
            self._received += len(data)
        super().data_received(data)
        if self._patience is not None and self._received > _MOST_HEADERS:
            self._refuse(431, _LARGE)

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self._stuck = self.loop.call_later(self.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
        if self.flow is not None:
            super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Tells that the bytes are no request."""
        self._refuse(400, _BROKEN)

    def _wait(self) -> None:
        self._received = 0
        self._patience = self.loop.call_later(self.header_seconds, self._refuse, 408, _SLOW)

    def _heard(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _refuse(self, status: int, told: dict[str, str]) -> None:
        self._heard()
        if self.transport.is_closing():
            return
        # Into an answer that has begun nothing more can be written.
        begun = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if not begun:
            body = json.dumps(told).encode()
            self.transport.write(
                STATUS_LINE[status] + b"content-type: application/json\r\nconnection: close\r\ncontent-length: "
                + str(len(body)).encode() + b"\r\n\r\n" + body
            )  # fmt: skip
        self.transport.close()


def connections(header_seconds: float, write_seconds: float) -> type[Connection]:
    """The class of a service's connections."""
    bounds: dict[str, Any] = {"header_seconds": header_seconds, "write_seconds": write_seconds}
    return type("BoundedConnection", (Connection,), bounds)
