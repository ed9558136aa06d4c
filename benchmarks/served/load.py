"""A load generator, as a process of its own: keep-alive connections over raw asyncio, since httpx costs more than the
answer.

``python -m benchmarks.served.load`` reads one plan of JSON from standard input and prints one line of JSON. Without a
rate each connection asks again as soon as it is answered; with one the questions come at fixed times, and a latency
counts from when the question was due, so that a service that stands still is not asked less
(G. Tene's "coordinated omission").
"""

import asyncio
import base64
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import uvloop

_END = b"\r\n\r\n"


@dataclass
class Tally:
    """What came back.

    Attributes:
        waits: Seconds from question to whole answer, of the answers with status 200.
        begun: When each of these questions was due, or asked, by the machine's monotonic clock.
        failed: Other answers and broken connections, by what they were.
    """

    waits: list[float] = field(default_factory=list)
    begun: list[float] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=dict)

    def fail(self, what: str) -> None:
        """Counts one."""
        self.failed[what] = self.failed.get(what, 0) + 1


class Connection(asyncio.Protocol):
    """One connection, which asks one question at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the way out."""
        # uvloop's is none of asyncio's class.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Ends the question that waits, if one does."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("closed"))

    def data_received(self, data: bytes) -> None:
        """Ends the question when its answer is whole."""
        self._buffer += data
        head, found, rest = self._buffer.partition(_END)
        if found and len(rest) >= _length(head):
            self._buffer = b""
            assert self._answer is not None
            self._answer.set_result(int(head[9:12]))

    async def ask(self, request: bytes) -> int:
        """The status of an answer, once all of it is there."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer


def _length(head: bytes) -> int:
    lowered = head.lower()
    place = lowered.find(b"content-length:")
    if place < 0:
        raise SystemExit("an answer of unknown length")
    return int(lowered[place + 15 :].partition(b"\r\n")[0])


def requests(plan: Mapping[str, Any]) -> list[bytes]:
    """The questions as they go over the wire."""
    bodies = [base64.b64decode(body) for body in plan["bodies"]]
    head = f"POST {plan['path']} HTTP/1.1\r\nHost: 127.0.0.1\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in plan["headers"].items()
    )
    return [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]


async def _asking(plan: Mapping[str, Any], number: int, asked: list[bytes], tally: Tally, begin: float) -> None:
    """Asks over one connection until the time is over."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, "127.0.0.1", plan["port"])
    share = plan["connections"] / plan["rate"] if plan["rate"] else 0.0
    due, turn, end = begin + share * number / plan["connections"], number, begin + plan["seconds"]
    await asyncio.sleep(max(0.0, due - time.perf_counter()))
    while (now := time.perf_counter()) < end:
        if plan["rate"] and due > now:
            await asyncio.sleep(due - now)
        since = due if plan["rate"] else time.perf_counter()
        try:
            status = await connection.ask(asked[turn % len(asked)])
        except ConnectionError:
            tally.fail("connection")
            _, connection = await loop.create_connection(Connection, "127.0.0.1", plan["port"])
            status = 0
        if status == 200:
            tally.waits.append(time.perf_counter() - since)
            tally.begun.append(since)
        elif status:
            tally.fail(str(status))
        due, turn = due + share, turn + 1


async def _run(plan: Mapping[str, Any]) -> Tally:
    asked, tally = requests(plan), Tally()
    begin = time.perf_counter() + 0.05
    await asyncio.gather(*(_asking(plan, n, asked, tally, begin) for n in range(plan["connections"])))
    return tally


def main() -> None:
    """Does one plan: port, path, headers, bodies (base64), connections, seconds, rate (a second; null for no limit)."""
    plan = json.loads(sys.stdin.read())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        tally = runner.run(_run(plan))
    print(json.dumps({"waits": tally.waits, "begun": tally.begun, "failed": tally.failed}))


if __name__ == "__main__":
    main()
