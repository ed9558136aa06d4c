"""Workers under the supervisor that answer with their process: ``python -m ... WORKERS`` prints the port and serves."""

import os
import resource
import socket
import sys
from types import SimpleNamespace
from typing import Any, cast

from starlette.types import Receive, Scope, Send

from mlops_platform.serving.http.service import Service
from mlops_platform.serving.http.settings import Settings
from mlops_platform.serving.http.sharing import Seat
from mlops_platform.serving.http.supervisor import Supervisor, Tell
from mlops_platform.serving.http.worker import run_worker


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """The process's number."""
    if scope["type"] == "lifespan":
        while (told := (await receive())["type"]) != "lifespan.shutdown":
            await send({"type": f"{told}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"8")]})
    await send({"type": "http.response.body", "body": b"%8d" % os.getpid()})


def main(workers: int, files: int | None) -> int:
    """Serves until a signal."""
    if files is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)

    def work(tell: Tell, seat: Seat) -> None:
        service = cast(Service, SimpleNamespace(draining=False))
        run_worker(answer, service, listener, Settings(drain_seconds=0.0), lambda: tell({}), seat)

    def told(event: str, told: dict[str, Any]) -> None:
        print(event, told.get("ready", ""), flush=True)

    with listener:
        return Supervisor(work, workers, told, 5.0).run()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
