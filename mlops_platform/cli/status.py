"""``mlops status``: what is live, what is stale and why, what was refused, who holds devices, how runs ended."""

import contextlib
import sqlite3
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlops_platform.cli.context import console, emit, plural
from mlops_platform.cli.devices import plain_devices, show_devices
from mlops_platform.cli.outline import BY_THEMSELVES
from mlops_platform.cli.rollouts import open_rollouts, rollout_line
from mlops_platform.cli.standing import FRESH, IDLE, NEVER, STALE, Standing, standings
from mlops_platform.cli.waiting import show_undeclared, show_waiting, undeclared_journals, waiting_answers
from mlops_platform.cli.words import station_name, when
from mlops_platform.manifest import short
from mlops_platform.resources.devices import device_states
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.spec import Project

_MOST_REASONS = 4
_ON_REQUEST = "[dim]when asked for[/]"
MARKS = {
    FRESH: "[green]fresh[/]",
    STALE: "[yellow]stale[/]",
    NEVER: "[dim]never made[/]",
    IDLE: "[dim]nothing to make[/]",
}


def show_status(project: Project, home: Home, runs: int, *, as_json: bool) -> None:
    """Prints the state of a project in a home."""
    found = standings(project, home)
    histories = {model.name: PromotionHistory(home, project.name, model.name) for model in project.models}
    live = {name: history.live() for name, history in histories.items()}
    awaiting = {name: waiting.version for name, history in histories.items() if (waiting := history.awaiting())}
    open_now = open_rollouts(project, home)
    last, asked, devices = last_runs(home, runs), decisions(project, home), device_states(home.leases)
    unshipped, undeclared = waiting_answers(project, home), undeclared_journals(project, home)
    if as_json:
        now = {name: {"version": m.champion, "checkpoint": m.checkpoint, "decided": m.at} if m else None
               for name, m in live.items()}  # fmt: skip
        emit({"home": str(home.path), "environment": home.environment, "live": now, "awaiting_approval": awaiting,
              "rollouts": open_now, "unshipped": unshipped, "undeclared_journals": undeclared, "retrain": asked,
              "stations": [_plain(each) for each in found], "runs": last,
              "devices": plain_devices(devices)})  # fmt: skip
        return
    shown = console()
    shown.print(f"[bold]{project.name}[/] in {home.path} ({home.environment})")
    for name, move in live.items():
        checkpoint = short(move.checkpoint or "") if move else ""
        said = f"version {move.champion}, checkpoint {checkpoint}, decided {when(move.at)} UTC" if move else "nothing"
        shown.print(f"live  {name}: {said}")
        if name in awaiting:
            by_whom = f"mlops promote {name} --version {awaiting[name]} --by NAME --because TEXT"
            shown.print(f"[yellow]waits[/] {name}: version {awaiting[name]} awaits approval: {by_whom}")
        if name in open_now:
            shown.print(f"[cyan]rolls out[/] {name}: {escape(rollout_line(open_now[name]))}", soft_wrap=True)
    show_waiting(shown, unshipped)
    show_undeclared(shown, undeclared)
    for name, decision in asked.items():
        shown.print(f"train {name}: {decision['reason']}", markup=False, soft_wrap=True)
    shown.print()
    shown.print(_table(found))
    _show_reasons(shown, found)
    show_devices(shown, devices)
    _show_runs(shown, last)


def decisions(project: Project, home: Home) -> dict[str, dict[str, Any]]:
    """Each model's newest retrain decision: yes or no, why, and when it was made."""
    found = {}
    for model in project.models:
        artifact = Refs(home).find(f"{project.name}/{model.name}/retrain_decision")
        if artifact is not None:
            content, at = artifact.manifest.content, artifact.manifest.produced.at
            found[model.name] = {"retrain": content["retrain"], "reason": content["reason"], "decided": at}
    return found


def last_runs(home: Home, count: int) -> list[dict[str, Any]]:
    """Dagster's newest runs, read from the instance's SQLite file: asking Dagster costs its import, two seconds."""
    path = home.path / "history" / "runs.db"
    if not path.is_file() or count < 1:
        return []
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        rows = database.execute(
            "SELECT run_id, pipeline_name, status, start_time, end_time FROM runs ORDER BY id DESC LIMIT ?", (count,)
        ).fetchall()
    return [{"run_id": run, "job": job, "status": status, "started": _iso(start), "ended": _iso(end),
             "seconds": end - start if start and end else None} for run, job, status, start, end in rows]  # fmt: skip


def _iso(seconds: float | None) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else None


def _plain(found: Standing) -> dict[str, Any]:
    manifest = found.manifest
    return {
        "station": found.station, "room": found.room, "state": found.state, "why": list(found.why),
        "digest": manifest.digest if manifest else None, "made": manifest.produced.at if manifest else None,
        "rows": manifest.content.get("rows") if manifest else None,
        "quarantined": manifest.content.get("quarantined") if manifest else None,
    }  # fmt: skip


def _table(found: list[Standing]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("room", "station", "state", "digest", "made (UTC)"):
        table.add_column(name, no_wrap=True)
    for name in ("rows", "quarantined"):
        table.add_column(name, justify="right", no_wrap=True)
    room = ""
    for each in found:
        content = each.manifest.content if each.manifest else {}
        digest = short(each.manifest.digest) if each.manifest else ""
        made = when(each.manifest.produced.at) if each.manifest else ""
        counts = _count(content.get("rows")), _count(content.get("quarantined"), red=True)
        heading = f"[cyan]{each.room}[/]" if each.room != room else ""
        state = _ON_REQUEST if each.state == NEVER and _by_itself(each) else MARKS[each.state]
        table.add_row(heading, station_name(each.station), state, digest, made, *counts)
        room = each.room
    return table


def _by_itself(found: Standing) -> bool:
    """Whether a station waits for a person or its hour, so that nothing is missing while it was never made."""
    return found.room not in ("sources", "features") and found.station.split("/")[-1] in BY_THEMSELVES


def _count(value: Any, *, red: bool = False) -> str:
    if not isinstance(value, int) or (red and value == 0):
        return ""
    return f"[red]{value:,}[/]" if red else f"{value:,}"


def _show_reasons(shown: Console, found: list[Standing]) -> None:
    never = [each for each in found if each.state == NEVER and not _by_itself(each)]
    stale = [each for each in found if each.state == STALE]
    shown.print()
    for each in stale:
        if not each.in_turn:
            rest = len(each.why) - _MOST_REASONS
            more = (f"and {rest} more; --json has them all",) if rest > 0 else ()
            why = escape("; ".join((*each.why[:_MOST_REASONS], *more)))
            shown.print(f"[yellow]stale[/] {station_name(each.station)}: {why}", soft_wrap=True)
    if in_turn := [station_name(each.station) for each in stale if each.in_turn]:
        shown.print(f"[yellow]stale[/] in turn: {', '.join(in_turn)}", soft_wrap=True)
    if never or stale:
        said = f"{plural(len(stale), 'station')} stale, {len(never)} never made."
        shown.print(f"{said} Bring them up to date: mlops materialize")
    else:
        shown.print("Nothing is stale.")


def _show_runs(shown: Console, runs: list[dict[str, Any]]) -> None:
    if runs:
        shown.print("\nlast runs", style="bold")
    for run in runs:
        seconds = f"{run['seconds']:.0f} s" if run["seconds"] is not None else "no end recorded"
        style = {"SUCCESS": "green", "FAILURE": "red"}.get(run["status"], "yellow")
        status = f"[{style}]{run['status'].lower()}[/]"
        shown.print(f"  {when(run['started'])}  {status}  {run['job']}  {seconds}  {run['run_id'][:8]}")
