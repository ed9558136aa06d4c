"""``mlops gc``: what nothing reaches any more, and its removal."""

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from mlops_platform.cli.context import console, emit, plural
from mlops_platform.errors import PlatformError
from mlops_platform.resources.home import Home
from mlops_platform.spec import Project

if TYPE_CHECKING:
    from mlops_platform.resources.garbage import Garbage

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def show_gc(project: Project, home: Home, *, dry_run: bool, keep_days: float, yes: bool, wait: float,
            as_json: bool) -> None:  # fmt: skip
    """Tells what is garbage, asks, and removes it.

    Raises:
        PlatformError: A run is at work, or nobody is there to be asked.
    """
    from mlops_platform.resources.garbage import collect, find_garbage
    from mlops_platform.resources.mlflow import MlflowResource

    asked = not dry_run and not yes
    if asked and (as_json or not sys.stdin.isatty()):
        raise PlatformError(
            required="a person at the terminal to be asked, or --yes", found="neither",
            remedy="mlops gc --dry-run tells what would go; mlops gc --yes removes it",
        )  # fmt: skip
    door, young = MlflowResource().door(home, project.name), timedelta(days=keep_days)
    if dry_run or asked:
        found = find_garbage(home, door, young=young)
        _tell(home, found, removed=False, as_json=as_json)
        if dry_run or not found.items or not typer.confirm("Remove it?"):
            return
    _tell(home, collect(home, door, young=young, wait=wait), removed=True, as_json=as_json)


def _tell(home: Home, found: "Garbage", *, removed: bool, as_json: bool) -> None:
    kinds = found.by_kind()
    if as_json:
        emit({
            "removed": removed,
            "kinds": {kind: {"count": count, "bytes": size} for kind, (count, size) in kinds.items()},
            "bytes": sum(size for _, size in kinds.values()), "kept": dict(found.kept), "items": _items(home, found),
        })  # fmt: skip
        return
    shown = console()
    lines = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("kind", "removed" if removed else "would go", "size", "stays"):
        lines.add_column(name, no_wrap=True, justify="left" if name == "kind" else "right")
    for kind in sorted({*kinds, *found.kept}):
        count, size = kinds.get(kind, (0, 0))
        lines.add_row(kind, f"{count:,}" if count else "-", _readable(size) if count else "-",
                      f"{found.kept[kind]:,}" if kind in found.kept else "")  # fmt: skip
    shown.print(lines)
    count, size = sum(n for n, _ in kinds.values()), sum(n for _, n in kinds.values())
    if not count:
        shown.print("nothing to remove: all that is there is reached", style="bold")
    else:
        verb = "freed" if removed else "would be freed"
        shown.print(f"{_readable(size)} {verb}: {plural(count, 'thing')}", style="bold")


def _items(home: Home, found: "Garbage") -> list[dict[str, Any]]:
    return [
        {"kind": item.kind, "path": home.relative(item.path), "bytes": item.size,
         **({"files": len(item.files), "versions_kept": list(item.versions)} if item.files else {})}
        for item in found.items
    ]  # fmt: skip


def _readable(size: float) -> str:
    """Bytes as people read them: ``4.2 MB``."""
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:,.0f} {_UNITS[unit]}" if unit == 0 else f"{size:,.1f} {_UNITS[unit]}"
