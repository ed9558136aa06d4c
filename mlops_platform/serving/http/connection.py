"""A connection that waits for no slow client: time and size of its headers, and of unread answers, are bounded."""

import json
from asyncio import TimerHandle, Transport
from collections.abc import Callable
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

_MOST_HEADERS = 64 << 10
_LINGER = 5.0
_BROKEN = {
    "required": "an HTTP/1.1 request",
    "found": "bytes that are none",
    "remedy": "mend the request line or headers",
}
_SLOW = {"required": "whole headers in time", "found": "some of them", "remedy": "send them faster"}
_LARGE = {"required": f"headers of at most {_MOST_HEADERS} bytes", "found": "more", "remedy": "send fewer"}


class _Exit:
    """A transport whose closing is left to its connection."""

    def __init__(self, transport: Transport, end: Callable[[], None]) -> None:
        self._transport, self._end, self._ending = transport, end, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._ending or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Writes, unless the last was written."""
        if not self._ending:
            self._transport.write(data)

    def close(self) -> None:
        """Has the connection end."""
        if not self._ending:
            self._ending = True
            self._end()


class Connection(HttpToolsProtocol):
    """uvicorn's connection with bounds.

    It ends as https://www.rfc-editor.org/rfc/rfc9112#section-9.6 says: where a request is refused before it is read,
    what is still sent of it is let pass for a while, or the client would meet a reset in the place of its answer. And
    it goes on in HTTP/1.1 where a client would rather speak something else, as Java's does of its own accord.

    Attributes:
        header_seconds: From the connection, or the first byte of a further request, to the end of its headers.
        write_seconds: How long a client may leave an answer unread.
        lost: Called when the connection has ended.
    """

    header_seconds: float
    write_seconds: float
    lost: Callable[[], None]
    _patience: TimerHandle | None = None
    _stuck: TimerHandle | None = None
    _leaving: TimerHandle | None = None
    _received = 0
    _again = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """A client connects: its headers are awaited."""
        self._line = transport
        super().connection_made(_Exit(transport, self._end))  # type: ignore[arg-type]
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self.lost()
        self._heard()
        self.resume_writing()
        self._leave(None)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._again:
            return
        super().on_message_begin()
        if self._patience is None:
            self._wait()

    def on_url(self, url: bytes) -> None:
        """A piece of its path."""
        if not self._again:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; what comes behind the body is none."""
        if self._patience is not None:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Its headers are whole."""
        if not self._again:
            self._heard()
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """It is whole, unless its body is still to be read."""
        if self.parser.should_upgrade() and self._framing():
            return
        super().on_message_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self.cycle.more_body = False
            self._leave(None)

    def on_response_complete(self) -> None:
        """An answer is out; a body that nobody reads may still come for a while, and no longer."""
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            self._leave(self.loop.call_later(_LINGER, self.transport.close))

    def data_received(self, data: bytes) -> None:
        """Bytes come; those of headers are counted."""
        self._unset_keepalive_if_required()
        while data and not self.transport.is_closing():
            if self._patience is not None:
                self._received += len(data)
            data = self._fed(data)
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

    def _fed(self, data: bytes) -> bytes:
        """Has bytes parsed; gives those that are left where the parser stops for another protocol."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as asked:
            framing = self._framing()
            self.parser = HttpRequestParser(self)
            if framing:
                # The parser took the body for that protocol's: a new one is told only how the body ends.
                self._again = True
                self.parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n")
                self._again = False
            return data[asked.args[0] :]
        except HttpParserError:
            self._refuse(400, _BROKEN)
        return b""

    def _framing(self) -> bytes:
        """The headers that tell where the body ends; empty where there is none."""
        told = [header for header in self.headers if header[0] in (b"content-length", b"transfer-encoding")]
        return b"".join(name + b": " + value + b"\r\n" for name, value in told)

    def _end(self) -> None:
        """Closes, at once where nothing more comes; and in the end whether or not the client has read its answer."""
        if self._line.is_closing():
            return
        coming = self._received > 0 if self._patience is not None else self.cycle is not None and self.cycle.more_body
        self._heard()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if coming:
            self.flow.resume_reading()
            self._line.write_eof()
        else:
            self._line.close()
        self._leave(self.loop.call_later(_LINGER if coming else self.write_seconds, self._line.abort))

    def _leave(self, when: TimerHandle | None) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
        self._leaving = when

    def _wait(self) -> None:
        self._received = 0
        self._patience = self.loop.call_later(self.header_seconds, self._late)

    def _late(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            # The request before is at work: its answer comes first.
            self._patience = self.loop.call_later(self.header_seconds, self._late)
        else:
            self._refuse(408, _SLOW)

    def _heard(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _refuse(self, status: int, told: dict[str, str]) -> None:
        if self.transport.is_closing():
            return
        cycle = self.cycle
        at_work = cycle is not None and not cycle.response_complete
        # Into an answer that has begun nothing more can be written, nor before that of an earlier request.
        if not (at_work and (cycle.response_started or not cycle.more_body)):
            body = json.dumps(told).encode()
            self.transport.write(
                STATUS_LINE[status] + b"content-type: application/json\r\nconnection: close\r\ncontent-length: "
                + str(len(body)).encode() + b"\r\n\r\n" + body
            )  # fmt: skip
        self.transport.close()


def connections(header_seconds: float, write_seconds: float, lost: Callable[[], None]) -> type[Connection]:
    """The class of a service's connections; their attributes tell what each argument is."""
    bounds = {"header_seconds": header_seconds, "write_seconds": write_seconds, "lost": staticmethod(lost)}
    return type("BoundedConnection", (Connection,), bounds)
