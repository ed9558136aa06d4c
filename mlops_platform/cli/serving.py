"""``mlops serve``: live answers of the champions, by worker processes that a parent watches."""

import json
import os
import shlex
import shutil
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from mlops_platform.cli import context
from mlops_platform.cli.shipping import shipping
from mlops_platform.errors import PlatformError
from mlops_platform.resources.home import Home
from mlops_platform.spec import Project

if TYPE_CHECKING:
    from mlops_platform.serving.http.settings import Settings
    from mlops_platform.serving.http.sharing import Seat
    from mlops_platform.serving.http.supervisor import Tell

_MIB = 1 << 20


def serve(
    models: Annotated[list[str] | None, typer.Argument(help="Names of models. Default: every model.")] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback needs MLOPS_SERVE_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free one.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that answer.")] = 2,
    max_rows: Annotated[int, typer.Option(min=1, help="Most rows of one request.")] = 10_000,
    max_body: Annotated[float, typer.Option(min=0.001, help="Largest body of a request, in MiB.")] = 8,
    max_requests: Annotated[int, typer.Option(min=1, help="Most requests at a time in each worker.")] = 256,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each worker for large requests.")] = 2,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="A name that the Host header may carry. Repeat for more.")
    ] = None,
    drain: Annotated[float, typer.Option(min=0, help="Seconds to be unready before a stop ends the listening.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="Log no line for each request.")] = False,
) -> None:
    """Answer over HTTP with the champions, until Ctrl-C; a new champion takes over by itself."""
    from mlops_platform.serving.http.settings import Settings, allowed_hosts, tokens_from

    project, home = context.project(), context.home()
    names = _served(project, models)
    tokens = tokens_from()
    hosts = allowed_hosts(host, tokens, tuple(allowed_host or ()))
    settings = Settings(
        tokens=tokens, hosts=hosts, max_rows=max_rows, max_body=int(max_body * _MIB), max_requests=max_requests,
        threads=threads, drain_seconds=drain, log_requests=not quiet,
    )  # fmt: skip
    raise typer.Exit(run(home, project, names, host, port, workers, settings))


def _served(project: Project, asked: list[str] | None) -> tuple[str, ...]:
    """Names of the models to serve: those asked for, or every one.

    Raises:
        PlatformError: One is not declared.
    """
    every = [model.name for model in project.models]
    return tuple(project.model(name, asked_by="mlops serve").name for name in asked or every)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Example: mlops serve flight_delay --workers 2    or: mlops serve --host 0.0.0.0")(serve)


def run(home: Home, project: Project, names: tuple[str, ...], host: str, port: int, workers: int,
        settings: "Settings") -> int:  # fmt: skip
    """Serves models until a signal comes; the command's exit code."""
    if not home.root.is_dir():
        raise PlatformError(required="a home with a champion, or one that will have it", found=f"no folder {home.root}",
                            remedy="mlops materialize, or give --home PATH")  # fmt: skip
    home.export()
    listener = bound(host, port)
    folder = _metrics_folder(home)
    # The second name is Feast's own for the same folder, where another store than ours has a worker import it.
    os.environ |= {name: str(folder) for name in ("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR")}
    # Imported before the workers are forked; none of these starts a thread.
    import fastapi  # noqa: F401
    import httptools  # noqa: F401
    import uvicorn  # noqa: F401
    import uvloop  # noqa: F401
    from prometheus_client import multiprocess

    from mlops_platform.serving.http.supervisor import Supervisor
    from mlops_platform.serving.http.tracing import require_exporter

    require_exporter()
    address = f"http://{_named(host)}:{listener.getsockname()[1]}"
    shown = context.console()
    shown.print(f"Starting {context.plural(workers, 'worker')} for {', '.join(names)} ...", style="dim")
    started = Start(shown, address, names, workers, settings)

    def tell(event: str, told: dict[str, Any]) -> None:
        if event == "died":
            multiprocess.mark_process_dead(told["pid"])
        started.tell(event, told)

    def work(say: "Tell", seat: "Seat") -> None:
        be_worker(home, project, names, listener, settings, say, seat)

    with listener, shipping(home, project, names, listener):
        try:
            code = Supervisor(work, workers, tell, settings.drain_seconds + settings.stop_seconds).run()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    shown.print("Ended." if code == 0 else "Ended, and not every worker well.")
    return code


def be_worker(home: Home, project: Project, names: tuple[str, ...], listener: socket.socket, settings: "Settings",
              say: "Tell", seat: "Seat") -> None:  # fmt: skip
    """What one worker does: opens the models, then answers until it is asked to stop."""
    from mlops_platform.cli.served import find_examples, opened
    from mlops_platform.serving.http.logs import log_lines
    from mlops_platform.serving.http.worker import run_worker

    log_lines()
    app, service = opened(home, project, names, settings)
    # Beside the first requests: to find a row reads a table, and readiness is not to wait for it.
    looking = threading.Thread(target=find_examples, args=(home, service), daemon=True)

    def beat() -> None:
        models = {name: {**live.standing(), "ready": live.ready} for name, live in service.models.items()}
        say({"models": {name: {**{key: told.get(key) for key in ("version", "checkpoint", "ready", "reason")},
                               "awaited": (told["states"] or {}).get("awaited")}
                        for name, told in models.items()}, "example": service.examples.get(names[0])})  # fmt: skip
        if looking.ident is None:
            looking.start()

    run_worker(app, service, listener, settings, beat, seat)


def bound(host: str, port: int) -> socket.socket:
    """A socket bound to an address; it listens when the first worker is ready, so that no one waits in vain.

    Raises:
        PlatformError: The address is taken, not this machine's, or no address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise PlatformError(required=f"{host}:{port} to be a free address of this machine",
                            found=error.strerror or str(error), remedy="mlops serve --port PORT, or 0 for any",
                            ) from error  # fmt: skip
    listener.set_inheritable(True)
    return listener


class Start:
    """What the parent prints: how it begins, what goes live, which worker died."""

    def __init__(self, shown: Console, address: str, names: tuple[str, ...], workers: int,
                 settings: "Settings") -> None:  # fmt: skip
        self._shown, self._address, self._names = shown, address, names
        self._workers, self._settings = workers, settings
        self._live: dict[str, str] = {}
        self._said: dict[str, dict[int, str]] = {name: {} for name in names}
        self._begun = self._asked = False

    def tell(self, event: str, told: dict[str, Any]) -> None:
        """Prints what is new in an event."""
        if event == "died":
            for said in self._said.values():
                said.pop(told["pid"], None)
            self._shown.print(
                f"[bold red]Worker {told['pid']} died[/] ({told['why']}); another starts in {told['wait']:g} s"
            )
        elif event == "failed":
            for name in ("required", "found", "remedy"):
                self._shown.print(f"  {name.capitalize():<9} {escape(told[name])}", soft_wrap=True)
        elif event == "beat" and not self._begun and told["ready"] == self._workers:
            self._begun = True
            self._begin(told)
        elif event == "beat" and self._begun:
            self._changes(told["pid"], told["models"])
            if not self._asked and told["example"] is not None and told["models"][self._names[0]]["ready"]:
                self._asked = True
                self._ask(told["example"])

    def _begin(self, told: dict[str, Any]) -> None:
        show, address = self._shown.print, self._address
        show(f"[bold]Serving[/] on {address} with {context.plural(self._workers, 'worker')}", soft_wrap=True)
        for name in self._names:
            self._live[name] = _standing(told["models"][name])
            show(f"  [bold]{name}[/]  {escape(self._live[name])}", soft_wrap=True)
        show(f"  docs {address}/docs   ready {address}/readyz   metrics {address}/metrics", soft_wrap=True)
        show("Ctrl-C ends it when requests at work are answered; a second one at once.", style="dim")

    def _ask(self, asked: dict[str, Any]) -> None:
        """Shows a question that can be sent as it stands."""
        settings, headers = self._settings, ["-H 'Content-Type: application/json'"]
        if settings.tokens:
            # Where there are several, the first.
            headers.append('-H "Authorization: Bearer ${MLOPS_SERVE_TOKEN%%,*}"')
        named = self._address.removeprefix("http://").rpartition(":")[0]
        if settings.hosts and named not in settings.hosts:
            headers.append(f"-H {shlex.quote(f'Host: {settings.hosts[0]}')}")
        body = shlex.quote(json.dumps(asked, ensure_ascii=False))
        call = (
            f"curl {shlex.quote(f'{self._address}/v1/models/{self._names[0]}/predict')} {' '.join(headers)} -d {body}"
        )
        self._shown.print("Ask it what comes next:", style="dim")
        self._shown.print(f"  {call}", markup=False, highlight=False, emoji=False, soft_wrap=True)

    def _changes(self, worker: int, models: dict[str, dict[str, Any]]) -> None:
        for name, told in models.items():
            now, said = _standing(told), self._said[name]
            if told["ready"]:
                said[worker] = now
            # Workers swap within a second of each other: what one of them still has is no news.
            if set(said.values()) == {now} and now != self._live[name]:
                self._live[name] = now
                self._shown.print(f"[bold]{name}[/]  {escape(now)}", soft_wrap=True)


def _standing(told: dict[str, Any]) -> str:
    if told["ready"]:
        live = f"version {told['version']}, checkpoint {str(told['checkpoint']).removeprefix('sha256:')[:12]}"
        return f"{live}; awaited: {' '.join(told['awaited'].split())}" if told["awaited"] else live
    return f"not ready: {' '.join(str(told['reason']).split())}"


def _named(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _metrics_folder(home: Home) -> Path:
    """A folder for the workers' figures; those that parents left which were killed are removed.

    Each machine, and each container, looks after its own only: several may share a home, and count processes alike.
    """
    parent = home.root / "serving" / "metrics" / socket.gethostname()
    folder = parent / str(os.getpid())
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.iterdir():
        # A container counts its processes from one again: under this one's number may lie what another counted.
        if left == folder or not Path(f"/proc/{left.name}").exists():
            shutil.rmtree(left, ignore_errors=True)
    folder.mkdir()
    return folder
