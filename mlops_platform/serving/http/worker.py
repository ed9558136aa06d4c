"""One worker process: an event loop that answers until it is asked to stop, and then ends what it has begun."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from mlops_platform.serving.http.connection import connections
from mlops_platform.serving.http.service import Service
from mlops_platform.serving.http.settings import Settings
from mlops_platform.serving.http.sharing import Acceptor, Seat, most_connections, seats

_LOG = logging.getLogger(__name__)
_BACKLOG = 2048
_BEAT_SECONDS = 1.0


class _Server(uvicorn.Server):
    """uvicorn's server that takes only its share of the connections; signals are the worker's."""

    def __init__(self, config: uvicorn.Config, seat: Seat) -> None:
        super().__init__(config)
        self._seat = seat

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to take connections."""
        await super().startup(sockets=[])

        def made() -> asyncio.Protocol:
            return self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )

        self.servers = [
            Acceptor(each, self.config.backlog, made, self._seat, most_connections())  # type: ignore[misc]
            for each in sockets or ()
        ]

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves them alone."""
        yield


def server_of(app: ASGIApp, settings: Settings, seat: Seat | None = None) -> uvicorn.Server:
    """uvicorn, with connections that are bounded.

    Args:
        app, settings: What answers, within which bounds.
        seat: The worker's place among others; one alone by default.
    """
    seat = seat or seats(1)[0]
    return _Server(
        uvicorn.Config(
            app, http=connections(settings.header_seconds, settings.write_seconds, lambda: seat.count(-1)), ws="none",
            lifespan="on", log_config=None, access_log=False, backlog=_BACKLOG, server_header=False,
            timeout_keep_alive=int(settings.idle_seconds), timeout_graceful_shutdown=int(settings.stop_seconds),
        ), seat,
    )  # fmt: skip


def run_worker(app: ASGIApp, service: Service, listener: socket.socket, settings: Settings,
               beat: Callable[[], None], seat: Seat) -> None:  # fmt: skip
    """Answers on a bound socket until SIGTERM or SIGINT; returns when requests at work have ended.

    Args:
        app, service: What answers.
        listener: Bound; it listens from now on, together with those of other workers.
        settings: Bounds.
        beat: Called each second from the event loop, the first time when the worker listens.
        seat: The worker's place among the others.
    """
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(app, service, listener, settings, beat, seat))


async def _run(app: ASGIApp, service: Service, listener: socket.socket, settings: Settings,
               beat: Callable[[], None], seat: Seat) -> None:  # fmt: skip
    server = server_of(app, settings, seat)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    async def stop() -> None:
        await stopping.wait()
        service.draining = True
        _LOG.info("stopping: no longer ready")
        await asyncio.sleep(settings.drain_seconds)
        server.should_exit = True

    async def beating() -> None:
        while not server.started:
            await asyncio.sleep(0.01)
        while True:
            beat()
            await asyncio.sleep(_BEAT_SECONDS)

    tasks = [asyncio.create_task(stop()), asyncio.create_task(beating())]
    try:
        await server.serve(sockets=[listener])
    finally:
        for task in tasks:
            task.cancel()
    _LOG.info("stopped")
