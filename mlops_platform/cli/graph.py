"""``mlops graph``: the lineage as text, room by room in flow order."""

from rich.text import Text

from mlops_platform.cli.context import console, emit
from mlops_platform.cli.execution import Graph
from mlops_platform.cli.standing import FRESH, IDLE, NEVER, STALE, Standing, standings
from mlops_platform.cli.words import station_name
from mlops_platform.resources.home import Home
from mlops_platform.spec import Project

_MARKS = {FRESH: ("●", "green"), STALE: ("◐", "yellow"), NEVER: ("○", "dim"), IDLE: ("·", "dim")}


def show_graph(project: Project, home: Home, *, as_json: bool) -> None:
    """Prints each station with what it is made from."""
    states = {found.station: found for found in standings(project, home)}
    parents = upstreams(project)
    if as_json:
        emit({"stations": [{"station": station, "room": found.room, "state": found.state, "upstream": parents[station]}
                           for station, found in states.items()]})  # fmt: skip
        return
    shown = console()
    rooms: dict[str, list[Standing]] = {}
    for found in states.values():
        rooms.setdefault(found.room, []).append(found)
    shown.print(Text(" -> ".join(rooms), style="bold"))
    width = max(len(station_name(station)) for station in states)
    for room, members in rooms.items():
        shown.print(f"\n[cyan]{room}[/]")
        for found in members:
            mark, style = _MARKS[found.state]
            line = Text.assemble("  ", (mark, style), " ", station_name(found.station).ljust(width))
            if parents[found.station]:
                line.append(f"  <- {_shortened(parents[found.station])}", style="dim")
            shown.print(line, soft_wrap=True)
    shown.print("\n" + "  ".join(f"[{style}]{mark}[/] {state}" for state, (mark, style) in _MARKS.items()))


def upstreams(project: Project) -> dict[str, list[str]]:
    """The stations that each station reads, as Dagster's asset graph has them."""
    graph = Graph.load(project).definitions.resolve_asset_graph()
    keys = graph.get_all_asset_keys()
    return {"/".join(key.path): sorted("/".join(p.path) for p in graph.get(key).parent_keys) for key in keys}


def _shortened(parents: list[str]) -> str:
    """Many parents of one kind are counted: ``8 features, raw/flights``."""
    kinds: dict[str, list[str]] = {}
    for parent in parents:
        _, middle, last = parent.split("/")
        kinds.setdefault(middle if middle in ("raw", "features") else last, []).append(station_name(parent))
    told = [names[0] if len(names) == 1 else f"{len(names)} {kind}" for kind, names in kinds.items()]
    return ", ".join(told)
