"""Live answers that are not yet in the prediction log, as ``mlops status`` tells them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from mlops_platform.cli.words import when
from mlops_platform.resources.home import Home
from mlops_platform.spec import Project

_SOON = timedelta(minutes=2)
"""``mlops serve`` ships within a minute."""


def waiting_answers(project: Project, home: Home) -> dict[str, dict[str, Any]]:
    """Of each model with journals: how many answers wait, since when, and which segments were damaged."""
    found = {}
    for model in project.models:
        folder = home.journals(project.name, model.name)
        if folder.is_dir() and any(folder.rglob("*.journal")):
            from mlops_platform.resources.prediction_log.segments import unshipped

            waits = unshipped(home, project, model)
            found[model.name] = {"answers": waits.answers, "since": waits.since.isoformat() if waits.since else None,
                                 "damaged": list(waits.damaged)}  # fmt: skip
    return found


def undeclared_journals(project: Project, home: Home) -> list[str]:
    """Folders, in the home, of journals whose model is not declared any more: nobody ships them."""
    declared = {home.journals(project.name, model.name) for model in project.models}
    here = home.journals(project.name, "*")
    found = {path.parent for path in home.root.glob(f"{here.relative_to(home.root)}/*.journal")}
    return sorted(home.relative(folder) for folder in found - declared)


def show_undeclared(shown: Console, folders: list[str]) -> None:
    """Prints the journals of models that are gone."""
    for folder in folders:
        shown.print(f"[yellow]waits[/] {folder}: live answers of a model that is not declared any more; declare it "
                    "again to ship them, or remove the folder", soft_wrap=True)  # fmt: skip


def show_waiting(shown: Console, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints those that wait for long, and what was damaged."""
    for name, told in found.items():
        if told["since"] and datetime.now(UTC) - datetime.fromisoformat(told["since"]) > _SOON:
            shown.print(
                f"[yellow]waits[/] {name}: {told['answers']:,} live answers since {when(told['since'])} UTC are not in "
                f"the prediction log yet; mlops serve {name} ships them, and so does its next monitoring report",
                soft_wrap=True,
            )
        for segment in told["damaged"]:
            shown.print(f"[red]damaged[/] {name}: journal {segment}; its whole records are in the log", soft_wrap=True)
