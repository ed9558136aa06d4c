"""``mlops history``: which version was champion when, who moved it and why."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.markup import escape
from rich.table import Table

from mlops_platform.cli.context import console, emit
from mlops_platform.cli.rollouts import open_rollouts, rollout_line
from mlops_platform.cli.words import when
from mlops_platform.errors import PlatformError
from mlops_platform.resources.history import Move, PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.spec import Project

_STYLES = {
    "promote": "green",
    "rollback": "red",
    "found": "red",
    "rehearsal": "dim",
    "allow": "cyan",
    "rollout": "cyan",
}


def show_history(project: Project, home: Home, model: str, at: str | None, *, as_json: bool) -> None:
    """Prints a model's moves, or what was live at one time.

    Raises:
        PlatformError: No such model, or no time.
    """
    known = [each.name for each in project.models]
    if model not in known:
        raise PlatformError(required=f"a model of {project.name}", found=repr(model),
                            remedy=f"one of: {', '.join(known)}")  # fmt: skip
    found = PromotionHistory(home, project.name, model)
    if at is not None:
        _show_live(model, _time(at), found.live(_time(at)), as_json=as_json)
        return
    moves = found.moves()
    if as_json:
        emit({"model": model, "moves": [asdict(move) for move in moves]})
    elif not moves:
        console().print(f"{model}: no decision yet in {home.root}. Materialize the graph: mlops materialize")
    else:
        console().print(moves_table(moves))
        for line in _standing(found, open_rollouts(project, home).get(model)):
            console().print(line, soft_wrap=True)


def moves_table(moves: list[Move]) -> Table:
    """Moves as a table, oldest first."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("when", "decision", "judged", "champion", "by", "why"):
        table.add_column(name, no_wrap=name in ("when", "champion"), overflow="fold")
    for move in moves:
        style = _STYLES.get(move.action, "yellow")
        live = f"{move.previous or 'none'} -> {move.champion or 'none'}"
        about = f"version {move.version}" if move.version else "no alias"
        decision = f"[{style}]{'awaits' if move.awaits else move.action}[/]"
        table.add_row(when(move.at), decision, about, live, escape(move.actor), escape(move.reason))
    return table


def _standing(history: PromotionHistory, told: Mapping[str, Any] | None) -> Iterator[str]:
    """What the entries amount to now, beside who is live: who waits, who is barred, how long a rollback takes."""
    waiting = history.awaiting()
    if waiting is not None:
        yield f"[yellow]version {waiting.version} awaits approval[/]"
    if told is not None:
        stop = f"mlops stop-rollout {history.model} --by NAME --because TEXT"
        yield f"[cyan]meets live traffic[/]: {escape(rollout_line(told))}; to stop it: {stop}"
    for bar in history.barred().values():
        lift = f"mlops allow {history.model} --version {bar.version} --by NAME --because TEXT"
        yield f"[red]version {bar.version} is barred[/] since {when(bar.at)} by {escape(bar.actor)}; to lift it: {lift}"
    rehearsed = history.rehearsed()
    if rehearsed is not None:
        yield f"rollback last rehearsed {when(rehearsed.at)}, took {rehearsed.seconds:.2f} s"


def _show_live(model: str, at: datetime, move: Move | None, *, as_json: bool) -> None:
    if as_json:
        emit({"model": model, "at": at.isoformat(), "live": asdict(move) if move else None})
    elif move is None:
        console().print(f"{model}: nothing was live at {when(at)}")
    else:
        # The newest entry may be a decision to keep: it says what was live, not since when.
        decided = f"as decided {when(move.at)} by {move.actor}"
        said = f"{model}: version {move.champion} was live at {when(at)} UTC, {decided}\n  {move.reason}"
        console().print(said, markup=False)


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise PlatformError(required="--at to be a time in ISO 8601", found=f"--at {text}",
                            remedy="write for example --at 2026-01-31T12:00:00Z") from error  # fmt: skip
    return found if found.tzinfo else found.replace(tzinfo=UTC)
