"""How each station stands: made or not, stale or not, and why."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from mlops_platform.cli.context import plural
from mlops_platform.cli.outline import Planned, outline
from mlops_platform.cli.words import station_name
from mlops_platform.manifest import Manifest, Recipe, short
from mlops_platform.resources.artifacts import MANIFEST, ArtifactStore
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.source_code import closure
from mlops_platform.spec import Project, RawTable

FRESH, STALE, NEVER = "fresh", "stale", "never made"
IN_TURN = "is stale"


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
        return self.state == STALE and all(reason.endswith(IN_TURN) for reason in self.why)


def standings(project: Project, home: Home) -> list[Standing]:
    """Every station of the project, in flow order."""
    from mlops_platform.resources.refs import Refs

    planned = outline(project)
    refs = Refs(home)
    now = {p.station: found.manifest if (found := refs.find(p.station)) else None for p in planned}
    told: dict[str, Standing] = {}
    for plan in planned:
        manifest = now[plan.station]
        why = tuple(_reasons(project, home, plan, manifest, now, told)) if manifest else ()
        state = NEVER if manifest is None else STALE if why else FRESH
        told[plan.station] = Standing(station=plan.station, room=plan.room, state=state, why=why, manifest=manifest)
    return list(told.values())


def _reasons(project: Project, home: Home, plan: Planned, manifest: Manifest, now: dict[str, Manifest | None],
             told: dict[str, Standing]) -> Iterator[str]:  # fmt: skip
    table = next((t for t in project.raw_tables if plan.station == f"{project.name}/raw/{t.name}"), None)
    if table is not None:
        yield from _landed(home, project, table)
    store, recipe, source = ArtifactStore(home), manifest.recipe, closure(*manifest.recipe.functions)
    current = {role: _current(store, manifest, role, digest, now) for role, digest in recipe.inputs.items()}
    inputs = {role: found.digest if (found := current[role]) else digest for role, digest in recipe.inputs.items()}
    asked = replace(recipe, code=source.digest, inputs=inputs, software={**recipe.software, **source.distributions})
    remembered = store.find(asked.key)
    # Work on other inputs may have given equal bytes: then that recipe is remembered, and the next run finds it.
    if remembered is None or remembered.manifest.digest != manifest.digest:
        yield from _differences(recipe, asked, current)
    if manifest.kind == "champion":
        yield from _moved(home, plan.station, recipe)
    for found in current.values():
        if found is not None and found.station in told and told[found.station].state == STALE:
            yield f"{station_name(found.station)} {IN_TURN}"


def _moved(home: Home, station: str, recipe: Recipe) -> Iterator[str]:
    project, model, _ = station.split("/")
    history = PromotionHistory(home, project, model)
    newest = history.newest_decision()
    if newest is not None and history.head_before(recipe.inputs["verdict"]) != recipe.inputs["history"]:
        yield f"{newest.actor} decided since: {newest.action}, version {newest.champion} is live"


def _differences(before: Recipe, asked: Recipe, current: Mapping[str, Manifest | None]) -> Iterator[str]:
    for role, digest in asked.inputs.items():
        if digest != before.inputs[role]:
            name = station_name(found.station) if (found := current[role]) else role
            yield f"{name} is now {short(digest)}, was {short(before.inputs[role])}"
    if asked.code != before.code:
        yield "its code changed"
    for name, version in asked.software.items():
        if version != before.software.get(name):
            yield f"{name} is now {version}, was {before.software.get(name, 'not used')}"


def _current(store: ArtifactStore, manifest: Manifest, role: str, digest: str,
             now: Mapping[str, Manifest | None]) -> Manifest | None:  # fmt: skip
    """What the station behind an input stands for now; None where that is no question.

    It is none for files and facts, which no station made; for the champion of an evaluation, which stays a comparison
    with the champion of its day; and for the live checkpoint of predictions and of monitoring, which need not be the
    newest one, and nor need its evaluation.
    """
    watched = manifest.kind == "monitoring_report"
    if role == "champion" or (watched and role == "evaluation"):
        return None
    if (watched or manifest.kind == "predictions") and role == "checkpoint":
        project, model, _ = manifest.station.split("/")
        live = PromotionHistory(store.home, project, model).live()
        checkpoint = live.checkpoint if live else None
        return None if checkpoint in (None, digest) else store.open("checkpoint", checkpoint).manifest
    for path in store.root.glob(f"*/{digest.removeprefix('sha256:')}/{MANIFEST}"):
        return now.get(Manifest.from_json(path.read_bytes(), source=str(path)).station)
    return None


def _landed(home: Home, project: Project, table: RawTable) -> Iterator[str]:
    from mlops_platform.resources.delta import DeltaDoor
    from mlops_platform.sources.ingest import ledger
    from mlops_platform.sources.watch import files_now

    files = files_now(home, project.name, table.name)
    if not files:
        return
    known = {entry.digest for entry in ledger(DeltaDoor(home.raw_table(project.name, table.name)))}
    waiting = [file for file in files if file.digest not in known]
    if waiting:
        yield f"{plural(len(waiting), 'file')} landed and not ingested"
