"""What a run would do, told without running it: each station's shell is asked up to where its work would begin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_platform.cli.execution import Graph
from mlops_platform.cli.words import station_name
from mlops_platform.errors import PlatformError
from mlops_platform.resources.differences import Difference, differences
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs

if TYPE_CHECKING:
    import dagster as dg

    from mlops_platform.resources.memo import Looked

TAKEN, RUNS, MAY_RUN, SKIPPED, FAILS = "would be taken", "would run", "may run", "would be skipped", "would fail"
MOVED = "upstream "
"""How a reason begins that is another station's."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What would come of one station.

    Attributes:
        station: Asset key, joined by slashes.
        state: ``would be taken`` (a memo hit), ``would run``, ``may run``, ``would be skipped`` or
            ``would fail``.
        why: Reasons in words; none for a memo hit.
        changed: What differs from the recipe before.
        stands: Whether the artifact that would be taken is the one that the station stands for already.
        digest: Of the artifact that would be taken.
        skips: Why, as things stand now, it has nothing to make; None where it has.
    """

    station: str
    state: str
    why: tuple[str, ...] = ()
    changed: tuple[Difference, ...] = ()
    stands: bool = False
    digest: str | None = None
    skips: str | None = None


def plan(graph: Graph, home: Home, keys: Sequence["dg.AssetKey"]) -> list[Step]:
    """One step a station, in the order of the graph.

    Args:
        graph: The project's.
        home: Where the artifacts are.
        keys: The stations selected.
    """
    from mlops_platform.resources.planning import PlanningStations

    resources = graph.resources
    stations = PlanningStations(path=str(home.path), environment=home.environment, mlflow=resources["mlflow"])
    assets, refs, steps = graph.definitions.resolve_asset_graph(), Refs(home), dict[str, Step]()
    selected = set(keys)
    for key in (key for key in assets.toposorted_asset_keys if key in selected):
        before = ("/".join(parent.path) for parent in sorted(assets.get(key).parent_keys) if parent in selected)
        moving = [name for name in before if steps[name].state in (RUNS, MAY_RUN)]
        steps["/".join(key.path)] = _step(graph, refs, key, moving, stations, resources)
    return list(steps.values())


def _step(graph: Graph, refs: Refs, key: "dg.AssetKey", moving: list[str], stations: Any,
          resources: Mapping[str, Any]) -> Step:  # fmt: skip
    from mlops_platform.resources.planning import Skips, look_through

    station = "/".join(key.path)
    upstream = tuple(f"{MOVED}{station_name(name)} would run" for name in moving)
    try:
        looked = look_through(graph.definitions.resolve_assets_def(key), stations, resources)
    except PlatformError as error:
        if not moving:
            return Step(station=station, state=FAILS, why=(f"it requires {error.required}, found {error.found}",))
        never = refs.find(station) is None
        return Step(station=station, state=RUNS if never else MAY_RUN, why=(*_never(never), *upstream))
    if isinstance(looked, Skips):
        return Step(station=station, state=MAY_RUN if moving else SKIPPED, why=(looked.why, *upstream),
                    skips=looked.why)  # fmt: skip
    if looked is None:
        return Step(station=station, state=RUNS, why=("it is no station: Dagster runs it whenever it is asked",))
    return _judged(refs, station, looked, upstream)


def _judged(refs: Refs, station: str, looked: "Looked", upstream: tuple[str, ...]) -> Step:
    if looked.found is not None:
        digest = looked.found.manifest.digest
        if upstream:
            return Step(station=station, state=MAY_RUN, why=upstream, digest=digest)
        last = refs.find(station)
        stands = last is not None and last.manifest.digest == digest
        return Step(station=station, state=TAKEN, stands=stands, digest=digest)
    before = refs.recipe(station)
    changed = tuple(differences(refs.store, before, looked.recipe, looked.parts)) if before else ()
    if upstream:
        # Inputs are about to change anyway; only what is the station's own is sure.
        changed = tuple(difference for difference in changed if difference.part != "input")
    own = (*((looked.because,) if looked.because else ()), *_never(before is None), *map(str, changed))
    return Step(station=station, state=RUNS if own or not upstream else MAY_RUN, why=(*own, *upstream), changed=changed)


def _never(made: bool) -> tuple[str, ...]:
    return ("it was never made",) if made else ()
