"""``mlops plan``: what a run would do and why, without running it."""

from collections import Counter

from mlops_platform.cli.context import console, emit, plural
from mlops_platform.cli.execution import Graph
from mlops_platform.cli.overrides import compute_overrides
from mlops_platform.cli.planning import FAILS, MAY_RUN, RUNS, SKIPPED, TAKEN, plan
from mlops_platform.cli.words import station_name
from mlops_platform.resources.home import Home
from mlops_platform.spec import Project

_STYLES = {TAKEN: "dim", RUNS: "green", MAY_RUN: "yellow", SKIPPED: "yellow", FAILS: "bold red"}
_MOST = 4


def show_plan(project: Project, home: Home, selection: str, *, compute: str = "", as_json: bool) -> None:
    """Prints one line a station, and the reasons of those that would run."""
    home.export()
    graph = Graph.load(project, compute_overrides(compute, project))
    steps = plan(graph, home, graph.select(selection))
    if as_json:
        emit({"stations": [
            {"station": step.station, "state": step.state, "why": list(step.why), "digest": step.digest,
             "changed": [{"part": c.part, "name": c.name, "before": c.before, "now": c.now} for c in step.changed]}
            for step in steps
        ]})  # fmt: skip
        return
    shown = console()
    width = max(len(station_name(step.station)) for step in steps)
    for step in steps:
        said = "would be taken (memo)" if step.state == TAKEN else step.state
        first, *rest = step.why or ("",)
        reason = f": {first}" if first else ""
        shown.print(f"{station_name(step.station):<{width}}  [{_STYLES[step.state]}]{said}[/]", end="")
        shown.print(reason, markup=False, soft_wrap=True)
        for why in rest[: _MOST - 1]:
            shown.print(f"{'':<{width}}    {why}", markup=False, soft_wrap=True)
        if len(rest) >= _MOST:
            shown.print(f"{'':<{width}}    and {len(rest) - _MOST + 1} more; --json has them all")
    counts = Counter(step.state for step in steps)
    told = ", ".join(f"{counts[state]} {state}" for state in (RUNS, MAY_RUN, TAKEN, SKIPPED, FAILS) if counts[state])
    shown.print(f"{plural(len(steps), 'station')}: {told}", style="bold")
