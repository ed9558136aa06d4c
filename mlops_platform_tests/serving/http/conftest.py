"""The pumps' champion behind the application, on a port of this machine, in a thread."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop

from mlops_platform.resources.home import Home
from mlops_platform.resources.online import OnlineDoor
from mlops_platform.serving.http.app import create_app
from mlops_platform.serving.http.service import Service
from mlops_platform.serving.http.settings import Settings
from mlops_platform.serving.http.worker import server_of
from mlops_platform.serving.live import LiveModel
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT

PREDICT = f"/v1/models/{MODEL.name}/predict"


@pytest.fixture(scope="module")
def live(pumps_home: Path) -> Iterator[LiveModel]:
    """The champion, warm."""
    home = Home(pumps_home)
    found = LiveModel(home, PROJECT, MODEL, online=OnlineDoor(home, PROJECT), every=None)
    found.refresh()
    assert found.ready, found.standing()
    yield found
    found.close()


class Kept:
    """A live model that the application may close, and others still ask."""

    def __init__(self, live: Any) -> None:
        self._live = live
        self.closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._live, name)

    def close(self) -> None:
        """Notes it."""
        self.closed = True


class Running:
    """An application that listens."""

    def __init__(self, app: Any, settings: Settings) -> None:
        self.server = server_of(app, settings)
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self.port: int = listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, args=(listener,), daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self.server.started:
            assert time.monotonic() < deadline and self._thread.is_alive()
            time.sleep(0.005)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)

    def _run(self, listener: socket.socket) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self.server.serve(sockets=[listener]))

    def stop(self) -> None:
        """Ends it well."""
        self.client.close()
        self.server.should_exit = True
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()


def run_app(live: Any, **arguments: Any) -> Running:
    """An application with these settings; other arguments go to ``create_app``."""
    settings = Settings(**{n: arguments.pop(n) for n in list(arguments) if n in Settings.__dataclass_fields__})
    project = arguments.pop("project", PROJECT)
    service = arguments.pop("service", None) or Service(project=project, models={MODEL.name: Kept(live)})
    return Running(create_app(service, settings=settings, **arguments), settings)


@pytest.fixture
def serving(live: LiveModel) -> Iterator[Callable[..., Running]]:
    """Starts an application; see ``run_app``."""
    yield from _starting(live)


@pytest.fixture(scope="module")
def module_serving(live: LiveModel) -> Iterator[Callable[..., Running]]:
    """The same, for those that many tests ask."""
    yield from _starting(live)


def _starting(live: LiveModel) -> Iterator[Callable[..., Running]]:
    opened: list[Running] = []

    def serve(model: Any = None, **arguments: Any) -> Running:
        opened.append(run_app(model or live, **arguments))
        return opened[-1]

    yield serve
    for each in opened:
        each.stop()


@pytest.fixture
def running_of() -> Iterator[Callable[[Any, Settings], Running]]:
    """Starts an application that was made elsewhere."""
    opened: list[Running] = []

    def run(app: Any, settings: Settings) -> Running:
        opened.append(Running(app, settings))
        return opened[-1]

    yield run
    for each in opened:
        each.stop()


@pytest.fixture(scope="module")
def client(live: LiveModel) -> Iterator[httpx.Client]:
    """A client of the usual application, whose bounds are small."""
    running = run_app(live, max_rows=20, max_body=100_000)
    yield running.client
    running.stop()
