"""``mlops materialize``: one line a station while the graph runs, then what is red and why."""

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress as Live
from rich.progress import SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from mlops_platform.cli.context import console, plural
from mlops_platform.cli.execution import Graph, RedCheck, Run
from mlops_platform.cli.overrides import compute_overrides
from mlops_platform.cli.pruning import standing_run
from mlops_platform.cli.terminal import own_terminal
from mlops_platform.cli.words import station_name
from mlops_platform.resources.home import Home
from mlops_platform.spec import Project

if TYPE_CHECKING:
    from mlops_platform.resources.station import Progress


class StationLines:
    """Prints a line when a station ends; on a terminal, also which one is at work.

    Attributes:
        shown: Where to print; None prints nothing.
        graph: Whose stations.
        indent: Before each line.
        only_made: Whether stations taken as they were get no line.
    """

    def __init__(self, shown: Console | None, graph: Graph, *, indent: str = "", only_made: bool = False) -> None:
        self.shown, self.graph, self.indent, self.only_made = shown, graph, indent, only_made
        self._stack = ExitStack()
        self._live: Live | None = None
        self._task: TaskID | None = None
        self._width = max(len(station_name(station)) for station in graph.rooms)

    def __enter__(self) -> "StationLines":
        if self.shown is not None and self.shown.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            self._live = self._stack.enter_context(Live(*columns, console=self.shown, transient=True))
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def __call__(self, progress: "Progress") -> None:
        if self._live is not None:
            if self._task is not None:
                self._live.remove_task(self._task)
            # After a station its checks run: the display then says so.
            said = station_name(progress.station) + ("" if progress.seconds is None else ": checks")
            self._task = self._live.add_task(said)
        if progress.seconds is not None and self.shown is not None and not (progress.hit and self.only_made):
            self.shown.print(self._line(progress))

    def _line(self, progress: "Progress") -> str:
        room = self.graph.rooms.get(progress.station, "")
        outcome = "[dim]as it was[/]" if progress.hit else "[green]made     [/]"
        if progress.error is not None:
            outcome = "[bold red]failed   [/]"
        elif progress.skipped is not None:
            outcome = "[yellow]skipped  [/]"
        rows = progress.manifest.content.get("rows") if progress.manifest else None
        counted = f"  {rows:>9,} rows" if isinstance(rows, int) else ""
        name = f"{station_name(progress.station):<{self._width}}"
        return f"{self.indent}[cyan]{room:<11}[/]  {name}  {outcome}  {progress.seconds or 0:>7.2f} s{counted}"


def show_run(project: Project, home: Home, selection: str, *, compute: str = "", quiet: bool = False) -> Run:
    """Materializes a selection, printing lines as it goes and the end; where all of it stands, nothing is launched."""
    overrides = compute_overrides(compute, project)
    home.prepare()
    return show_graph_run(Graph.load(project, overrides), home, selection, quiet=quiet)


def show_graph_run(graph: Graph, home: Home, selection: str, *, quiet: bool = False) -> Run:
    """What ``show_run`` does, on definitions that are loaded."""
    keys = graph.select(selection)
    begun = time.perf_counter()
    standing = standing_run(graph, home, keys)
    if standing is not None:
        show_standing(console(), standing, len(keys))
        return standing
    log = home.root / "logs" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}.log"
    with own_terminal(log) as shown, StationLines(None if quiet else shown, graph) as lines:
        run = graph.run(home, keys, lines)
    show_end(console(), run, time.perf_counter() - begun, log=str(log))
    return run


def show_standing(shown: Console, run: Run, stations: int) -> None:
    """Prints that nothing had to be launched, and what is red of what stands."""
    for check in run.red:
        shown.print(red_line(check), soft_wrap=True)
    checks = f"{plural(run.checks, 'check')}, {len(run.red)} red" if run.checks else "no checks"
    verb = "stands" if stations == 1 else "stand"
    shown.print(f"nothing to do: {plural(stations, 'station')} {verb}; {checks}", style="bold")


def show_end(shown: Console, run: Run, seconds: float, *, indent: str = "", log: str = "") -> None:
    """Prints how a run ended: failures with their errors, red checks with their figures, and the totals."""
    for failure in run.failures:
        shown.print(f"{indent}[bold red]failed[/] {station_name(failure.step)}")
        for line in failure.message.splitlines():
            shown.print(f"{indent}  {line}", markup=False, soft_wrap=True)
    for station, why in run.skipped.items():
        shown.print(f"{indent}[yellow]skipped[/] {station_name(station)}: {why}", soft_wrap=True)
    for check in run.red:
        shown.print(f"{indent}{red_line(check)}", soft_wrap=True)
    if run.not_reached:
        shown.print(f"{indent}[yellow]not reached[/] {', '.join(station_name(s) for s in run.not_reached)}")
    hits = sum(progress.hit for progress in run.finished)
    made = len(run.finished) - hits
    stations = f"{plural(len(run.finished), 'station')} in {seconds:.1f} s: {made} made, {hits} as they were"
    checks = f"{plural(run.checks, 'check')}, {len(run.red)} red" if run.checks else "no checks"
    shown.print(f"{indent}{stations}; {checks}", style="bold")
    if run.failures and log:
        shown.print(f"{indent}All output: {log}", soft_wrap=True)


def red_line(check: RedCheck) -> str:
    """A red check with its severity and figures."""
    style = "bold red" if check.severity == "ERROR" else "yellow"
    figures = ", ".join(f"{name} {value}" for name, value in check.figures.items())
    held = " (holds back what comes after)" if check.blocking and check.severity == "ERROR" else ""
    told = f": {figures}" if figures else ""
    return f"[{style}]{check.severity.lower()}[/] {station_name(check.station)} {check.name}{held}{told}"
