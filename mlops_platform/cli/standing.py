"""How each station stands: made or not, stale or not, and why. It is the plan, told as a state."""

from collections.abc import Mapping
from dataclasses import dataclass

from mlops_platform.cli.context import plural
from mlops_platform.cli.execution import Graph
from mlops_platform.cli.outline import outline
from mlops_platform.cli.planning import MOVED, SKIPPED, TAKEN, Step, plan
from mlops_platform.manifest import Manifest
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.spec import Project

FRESH, STALE, NEVER = "fresh", "stale", "never made"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One station now.

    Attributes:
        station, room: Which.
        state: ``fresh``, ``stale`` or ``never made``.
        why: Reasons for being stale.
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
        artifact, step = refs.find(planned.station), steps[planned.station]
        fresh = step.stands or step.state == SKIPPED
        state = NEVER if artifact is None else FRESH if fresh else STALE
        why = _why(step) if state == STALE else ()
        manifest = artifact.manifest if artifact else None
        found.append(Standing(station=planned.station, room=planned.room, state=state, why=why, manifest=manifest))
    return found


def _why(step: Step) -> tuple[str, ...]:
    """The plan's reasons; of a raw table, the files that wait for it are counted, not named by digest."""
    if step.state == TAKEN:
        return ("it stands for another artifact than the one that fits: the next run takes that one",)
    landed = [change for change in step.changed if change.part == "input" and change.before is None]
    if not landed or step.station.split("/")[1] != "raw":
        return step.why
    named = {str(change) for change in landed}
    return (f"{plural(len(landed), 'file')} landed and not ingested", *(why for why in step.why if why not in named))
