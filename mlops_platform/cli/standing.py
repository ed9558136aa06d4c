"""How each station stands: made or not, stale or not, and why. It is the plan, told as a state."""

from collections.abc import Mapping
from dataclasses import dataclass

from mlops_platform.cli.context import plural
from mlops_platform.cli.execution import Graph
from mlops_platform.cli.outline import outline
from mlops_platform.cli.planning import MOVED, SKIPPED, TAKEN, Step, plan
from mlops_platform.manifest import Manifest
from mlops_platform.resources.differences import Difference
from mlops_platform.resources.history import KEEP, Move, PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.spec import Project

FRESH, STALE, NEVER, IDLE = "fresh", "stale", "never made", "nothing to make"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One station now.

    Attributes:
        station, room: Which.
        state: ``fresh``, ``stale``, ``never made``, or ``nothing to make``: it was never made, and nothing is missing.
        why: Reasons for being stale, or why there is nothing to make.
        manifest: What it made last.
    """

    station: str
    room: str
    state: str
    why: tuple[str, ...]
    manifest: Manifest | None

    @property
    def in_turn(self) -> bool:
        """Whether it is stale only since something before it is."""
        return self.state == STALE and all(reason.startswith(MOVED) for reason in self.why)


def standings(project: Project, home: Home) -> list[Standing]:
    """Every station of the project, in flow order."""
    graph, refs = Graph.load(project), Refs(home)
    steps: Mapping[str, Step] = {step.station: step for step in plan(graph, home, graph.select("*"))}
    found = []
    for planned in outline(project):
        artifact, step = refs.find(planned.station), steps.get(planned.station)
        # What works by itself is in no plan of the whole graph: what it made stands until it is asked for again.
        fresh = step is None or step.stands or step.state == SKIPPED
        idle = step.skips if step is not None else None
        never = IDLE if idle is not None else NEVER
        state = never if artifact is None else FRESH if fresh else STALE
        why = _why(step, home) if step is not None and state == STALE else (idle,) if idle and state == IDLE else ()
        manifest = artifact.manifest if artifact else None
        found.append(Standing(station=planned.station, room=planned.room, state=state, why=why, manifest=manifest))
    return found


def _why(step: Step, home: Home) -> tuple[str, ...]:
    """The plan's reasons; files that wait and moves of the champion are told as such, not by their digests."""
    if step.state == TAKEN:
        return ("it stands for another artifact than the one that fits: the next run takes that one",)
    project, middle, last = step.station.split("/")
    inputs = [change for change in step.changed if change.part == "input"]
    told, named = "", list[Difference]()
    if middle == "raw":
        named = [change for change in inputs if change.before is None]
        told = f"{plural(len(named), 'file')} landed and not ingested"
    elif last == "champion":
        named = [change for change in inputs if change.name == "history"]
        newest = PromotionHistory(home, project, middle).newest_decision()
        told = _decided(newest) if newest is not None else ""
    if not named:
        return step.why
    said = {str(change) for change in named}
    return (told, *(why for why in step.why if why not in said))


def _decided(newest: Move) -> str:
    """A decision that was made after the station was."""
    what = newest.action
    if newest.action == KEEP:
        what = f"version {newest.version} {'awaits approval' if newest.awaits else 'is kept out'}"
    return f"{newest.actor} decided since: {what}, version {newest.champion} is live"
