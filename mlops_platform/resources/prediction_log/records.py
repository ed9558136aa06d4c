"""Records of a journal: what one request was answered, framed so that a torn or damaged one is known.

A record is its length and CRC-32 (two little-endian 32-bit numbers), then as many bytes: the length of a header, the
header in JSON, and Arrow IPC streams one after another. An answer has a stream of ``prediction_id``, ``example_id``,
``event_timestamp``, ``score`` and ``marks``, one of the example's columns, one of its features, and, where the features
were fetched, one each of their statuses, event and known timestamps. Writing frames as they are is cheap while
somebody waits for the answer; the JSON columns of the log are made from them later, whenever the record is read.
"""

import io
import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

_FRAME = struct.Struct("<II")
_LENGTH = struct.Struct("<I")
_FIRST = b'[{"version": '
"""How a header begins."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What one version answered to rows of a request, with nothing personal in it.

    Attributes:
        version, checkpoint, role: What answered.
        answered_at: UTC.
        parts: ``answers`` (columns of the log), ``inputs``, ``features`` and, where features were fetched,
            ``statuses``, ``events`` and ``knowns``; a row of each is about the same row of the request.
        online: Digest of what the online store stood for, where features were fetched and it is known.
    """

    version: str
    checkpoint: str
    role: str
    answered_at: datetime
    parts: Mapping[str, pl.DataFrame]
    online: str | None = None


def encode(entries: Sequence[Entry]) -> bytes:
    """The framed record of a request."""
    told: list[dict[str, Any]] = []
    streams = io.BytesIO()
    for entry in entries:
        sizes = {}
        for name, frame in entry.parts.items():
            start = streams.tell()
            frame.write_ipc_stream(streams, compression="uncompressed")
            sizes[name] = streams.tell() - start
        told.append({"version": entry.version, "checkpoint": entry.checkpoint, "role": entry.role,
                     "at": entry.answered_at.isoformat(), "rows": entry.parts["answers"].height,
                     "online": entry.online, "parts": sizes})  # fmt: skip
    header = json.dumps(told).encode()
    payload = b"".join((_LENGTH.pack(len(header)), header, streams.getbuffer()))
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


@dataclass(frozen=True)
class Records:
    """The whole records at the beginning of a segment's bytes.

    Attributes:
        payloads: Each without its frame.
        rest: How many bytes follow the last one.
        torn: Whether these are a record that was not written to its end: shorter than it says, with no whole record
            after it, or zeros. If not, bytes were changed.
    """

    payloads: list[memoryview]
    rest: int
    torn: bool


def whole_records(data: bytes) -> Records:
    """Reads records up to the first that is not whole."""
    view, place = memoryview(data), 0
    payloads: list[memoryview] = []
    while place + _FRAME.size <= len(view):
        length, checksum = _FRAME.unpack_from(view, place)
        start = place + _FRAME.size
        payload = view[start : start + length]
        if length == 0 or len(payload) < length or zlib.crc32(payload) != checksum:
            torn = (len(payload) < length and not _another(data, start)) or not any(view[place:])
            return Records(payloads, len(view) - place, torn)
        payloads.append(payload)
        place = start + length
    return Records(payloads, len(view) - place, True)


def _another(data: bytes, start: int) -> bool:
    """Whether a whole record begins after the first bytes of another, so that this one's length was changed."""
    view, place = memoryview(data), data.find(_FIRST, start + _LENGTH.size + 1)
    while place >= 0:
        begins = place - _LENGTH.size
        length, checksum = _FRAME.unpack_from(view, begins - _FRAME.size)
        payload = view[begins : begins + length]
        if length == len(payload) and zlib.crc32(payload) == checksum:
            return True
        place = data.find(_FIRST, place + 1)
    return False


def counted(payload: memoryview) -> tuple[int, datetime]:
    """How many answers a record holds, and the moment of the first, without reading their frames."""
    told, _ = _header(payload)
    return sum(each["rows"] for each in told), min(datetime.fromisoformat(each["at"]) for each in told)


def answers_in(payload: memoryview) -> Iterator[tuple[dict[str, Any], dict[str, memoryview]]]:
    """What a record's header tells of each answer, and the answer's streams by name."""
    told, place = _header(payload)
    for each in told:
        parts = {}
        for name, size in each["parts"].items():
            parts[name] = payload[place : place + size]
            place += size
        yield each, parts


def _header(payload: memoryview) -> tuple[list[dict[str, Any]], int]:
    (length,) = _LENGTH.unpack_from(payload)
    end = _LENGTH.size + length
    return json.loads(bytes(payload[_LENGTH.size : end])), end
