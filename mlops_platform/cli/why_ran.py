"""``mlops why-ran``: which part of a station's key changed when it last worked, or that nothing did."""

from typing import Any

from rich.console import Console

from mlops_platform.cli.context import console, emit
from mlops_platform.cli.outline import outline
from mlops_platform.cli.words import station_name, when
from mlops_platform.errors import PlatformError
from mlops_platform.manifest import short
from mlops_platform.resources.differences import Difference, differences
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Asked, Refs
from mlops_platform.spec import Project


def show_why_ran(project: Project, home: Home, asset: str, *, as_json: bool) -> None:
    """Prints why a station was made anew, or taken as it was, when it was asked last."""
    refs, station = Refs(home), _station(project, asset)
    story = refs.story(station)
    if story is None:
        found = "it stands for nothing yet" if refs.find(station) is None else "it was made before this was recorded"
        raise PlatformError(required=f"a run of {station} in {home.path}", found=found,
                            remedy=f"mlops materialize --select 'key:\"{station}\"'")  # fmt: skip
    artifact = refs.read(station)
    told = {"last": _changes(refs, story.last), "made": _changes(refs, story.made) if story.made else None}
    if as_json:
        emit({"station": station, "digest": artifact.manifest.digest, "last": _plain(story.last, told["last"]),
              "made": _plain(story.made, told["made"]) if story.made else None})  # fmt: skip
        return
    shown = console()
    shown.print(f"[bold]{station}[/]  {artifact.manifest.kind} {short(artifact.manifest.digest)}")
    _show(shown, "asked last", story.last, told["last"])
    if story.made is not None and story.made != story.last:
        _show(shown, "made last", story.made, told["made"])


def _station(project: Project, asset: str) -> str:
    known = [planned.station for planned in outline(project)]
    for station in (asset, f"{project.name}/{asset}"):
        if station in known:
            return station
    raise PlatformError(required=f"a station of {project.name}", found=repr(asset),
                        remedy=f"name one of {', '.join(station_name(station) for station in known)}")  # fmt: skip


def _changes(refs: Refs, asked: Asked) -> list[Difference] | None:
    """What changed against the recipe before; None where that is not known."""
    before = refs.store.recipe(asked.before) if asked.before else None
    now = refs.store.recipe(asked.recipe)
    return None if before is None or now is None else differences(refs.store, before, now)


def reason(asked: Asked, changes: list[Difference] | None) -> str:
    """What a list of differences comes to, in a few words."""
    if asked.because:
        return asked.because
    if asked.before is None:
        return "it had not been made before"
    if changes is None:
        return "the recipe before was not kept"
    if not changes:
        return "nothing changed"
    counts = {part: sum(change.part == part for change in changes) for part in dict.fromkeys(c.part for c in changes)}
    return "changed: " + ", ".join(f"{part} ({count})" for part, count in counts.items())


def _show(shown: Console, title: str, asked: Asked, changes: list[Difference] | None) -> None:
    outcome = "memo hit" if asked.hit else "made"
    run = f", run {asked.run_id[:8]}" if asked.run_id else ""
    shown.print(f"{title}  {when(asked.at)} UTC{run}: {outcome}; {reason(asked, changes)}", soft_wrap=True)
    for change in changes or ():
        shown.print(f"  {change}", markup=False, soft_wrap=True)


def _plain(asked: Asked, changes: list[Difference] | None) -> dict[str, Any]:
    told = [{"part": c.part, "name": c.name, "before": c.before, "now": c.now} for c in changes or ()]
    return {"at": asked.at, "run_id": asked.run_id, "memo": "hit" if asked.hit else "made",
            "reason": reason(asked, changes), "changed": told}  # fmt: skip
