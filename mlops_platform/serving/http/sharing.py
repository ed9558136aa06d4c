"""Connections shared out evenly among the workers that listen on one socket.

Left to themselves, the worker that wakes first takes all connections that come at once, and keeps them as long as they
are kept alive: of two workers one then did all the work (measured: half the machine's rate). So each worker tells the
others, in memory that they share, how many it holds; one that holds more than another leaves a new connection to that
one for a moment, and takes it if that one does not. The order is that of "least connections"; the socket stays one, so
that whatever waits in its queue outlives any worker.
"""

import asyncio
import logging
import mmap
import resource
import socket
from collections.abc import Callable

_LOG = logging.getLogger(__name__)
_PATIENCE = 0.005
_FULL_WAIT = 0.1
_SPARE_FILES = 128
"""Descriptors that a worker keeps for models, tables and its journal."""
_ABSENT = -1


class Seat:
    """One worker's place: how many connections it holds, seen by all."""

    def __init__(self, held: memoryview, number: int) -> None:
        self._held, self.number = held, number

    @property
    def held(self) -> int:
        """Connections that this worker holds; 0 where it does not listen."""
        return max(0, self._held[self.number])

    def sit(self) -> None:
        """This worker listens from now on."""
        self._held[self.number] = 0

    def count(self, change: int) -> None:
        """It holds so many more."""
        if self._held[self.number] != _ABSENT:
            self._held[self.number] += change

    def leave(self) -> None:
        """It listens no longer: nobody leaves anything to it."""
        self._held[self.number] = _ABSENT

    def has_most(self) -> bool:
        """Whether another that listens holds fewer."""
        mine = self._held[self.number]
        return any(_ABSENT < other < mine for other in self._held)


def seats(workers: int) -> list[Seat]:
    """As many places; processes that are forked later share them.

    Args:
        workers: At most so many at a time.
    """
    held = memoryview(mmap.mmap(-1, 4 * workers)).cast("i")
    found = [Seat(held, number) for number in range(workers)]
    for seat in found:
        seat.leave()
    return found


def most_connections() -> int:
    """How many connections a worker may hold: as many as it may open files, less what else it opens."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else max(16, soft - _SPARE_FILES)


class Acceptor:
    """Takes a worker's share of the connections; stands in the place of an asyncio server for uvicorn."""

    def __init__(self, listener: socket.socket, backlog: int, made: Callable[[], asyncio.Protocol], seat: Seat,
                 most: int) -> None:  # fmt: skip
        """Listens at once, on the running event loop.

        Args:
            listener: Bound; shared with other workers.
            backlog: How many connections may wait to be taken.
            made: Gives a connection's protocol. It must count ``seat`` down when the connection is lost.
            seat: This worker's.
            most: Connections that it may hold; further ones wait until one of these ends.
        """
        self._listener, self._made, self._seat, self._most = listener, made, seat, most
        self._loop = asyncio.get_running_loop()
        self._taking: set[asyncio.Task[None]] = set()
        self._waiting: asyncio.TimerHandle | None = None
        self._told_full = False
        listener.setblocking(False)
        listener.listen(backlog)
        seat.sit()
        self._loop.add_reader(listener, self._come)

    def close(self) -> None:
        """Takes no more."""
        self._seat.leave()
        if self._waiting is not None:
            self._waiting.cancel()
        else:
            self._loop.remove_reader(self._listener)

    async def wait_closed(self) -> None:
        """Returns when those that it took have begun."""
        await asyncio.gather(*self._taking)

    def _come(self) -> None:
        """Connections wait: takes one, or leaves it to another for a moment."""
        if self._seat.held >= self._most:
            self._tell_full(f"{self._seat.held} connections are held")
            self._pause(_FULL_WAIT)
        elif self._seat.has_most():
            self._pause(_PATIENCE)
        else:
            self._take()

    def _take(self) -> None:
        try:
            line, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            # Another worker took it, or its client has gone.
            return
        except OSError as error:
            # No descriptor or memory is left: those that wait are not refused, and others may end meanwhile.
            self._tell_full(error.strerror or str(error))
            self._pause(_FULL_WAIT)
            return
        self._told_full = False
        line.setblocking(False)
        self._seat.count(1)
        task = self._loop.create_task(self._begin(line))
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    async def _begin(self, line: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._made, line)
        except OSError as error:
            # It went before it began: no protocol was told, so none counts down.
            _LOG.info("a connection went before it began: %s", error)
            self._seat.count(-1)
            line.close()

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._waiting = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        """Takes what nobody took meanwhile, however many others hold."""
        self._waiting = None
        self._loop.add_reader(self._listener, self._come)
        if self._seat.held < self._most:
            self._take()

    def _tell_full(self, why: str) -> None:
        if not self._told_full:
            self._told_full = True
            _LOG.warning("no further connection is taken until one ends: %s", why)
