"""``mlops rebuild``: months of a feature table computed again from the raw rows, and compared with what was there."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.table import Table

from mlops_platform.cli.context import EXIT_FAILED, console, emit, plural
from mlops_platform.cli.execution import Graph, Run
from mlops_platform.cli.run_view import show_end
from mlops_platform.cli.terminal import own_terminal
from mlops_platform.errors import PlatformError
from mlops_platform.manifest import Manifest, short
from mlops_platform.resources.home import Home
from mlops_platform.spec import FeatureTable, Project

EQUAL, DIFFERENT = "equal bytes", "different bytes"


@dataclass(frozen=True, kw_only=True)
class Month:
    """What came of one month.

    Attributes:
        name: ``2013-03``, or ``all``.
        rows: Rows of it now.
        before, now: Digest of its rows; None where it had none.
        asked: Whether it was asked for; what changed since it was computed last is computed with what is asked for.
    """

    name: str
    rows: int
    before: str | None
    now: str | None
    asked: bool = True

    @property
    def outcome(self) -> str:
        """Whether the bytes are the same."""
        return EQUAL if self.before == self.now else DIFFERENT


def show_rebuild(project: Project, home: Home, table: str, since: str | None, until: str | None, *,
                 as_json: bool) -> int:  # fmt: skip
    """Rebuilds and prints one line a month; nothing after the table is touched.

    Returns:
        The exit code.
    """
    declared = _feature_table(project, table)
    station = f"{project.name}/features/{table}"
    home.prepare()
    before, asked = _asked(home, project, declared, station, since or "", until or "")
    graph, begun = Graph.load(project), time.perf_counter()
    config = {station: {"rebuild_from": asked[0], "rebuild_to": asked[-1]}}
    log = home.root / "logs" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}.log"
    with own_terminal(log):
        run = graph.run(home, graph.select(f'key:"{station}"'), lambda _: None, config)
    seconds = time.perf_counter() - begun
    if run.failures and not as_json:
        show_end(console(), run, seconds, log=str(log))
        return run.exit_code
    if run.failures:
        emit({"table": table, "failed": [failure.message for failure in run.failures]})
        return EXIT_FAILED
    months, changed = _compared(home, station, asked, before)
    if as_json:
        _emit(table, months, changed, run, seconds)
    else:
        _show(project, table, months, changed, run, seconds)
    return run.exit_code


def _feature_table(project: Project, table: str) -> FeatureTable:
    """The declaration of a feature table.

    Raises:
        PlatformError: It is a raw table, or none at all.
    """
    names = ", ".join(each.name for each in project.feature_tables)
    if any(each.name == table for each in project.raw_tables):
        after = [each.name for each in project.feature_tables if each.source == table]
        what = f", or rebuild what is computed from it: mlops rebuild {after[0]}" if after else ""
        raise PlatformError(
            required="a feature table: raw tables only ever grow, so their rows are never computed again",
            found=f"{table}, a raw table",
            remedy=f"to correct rows, land a file with the same keys and the right values (they become a new version "
            f"of those rows), then: mlops materialize{what}",
        )
    for each in project.feature_tables:
        if each.name == table:
            return each
    raise PlatformError(required=f"a feature table of {project.name}", found=repr(table), remedy=f"one of: {names}")


def _asked(home: Home, project: Project, table: FeatureTable, station: str, since: str,
           until: str) -> tuple[tuple[Manifest, str], tuple[str, ...]]:  # fmt: skip
    """What the table stands for now and by which recipe, and the months asked for."""
    from mlops_platform.features.compute import no_rows, partition_names
    from mlops_platform.features.rebuild import months_asked
    from mlops_platform.resources.refs import Refs

    refs = Refs(home)
    manifest, recipe = refs.read(station).manifest, refs.recipe(station)
    raw = refs.read(f"{project.name}/raw/{table.source}").manifest
    months = partition_names(table, raw.delta.partitions)
    if not months:
        raise no_rows(table)
    asked = months_asked(table, months, since or ("" if until else months[0]), until)
    return (manifest, recipe.key if recipe else ""), asked


def _compared(home: Home, station: str, asked: tuple[str, ...],
              before: tuple[Manifest, str]) -> tuple[list[Month], bool]:  # fmt: skip
    """Each month asked for or moved, before and after, and whether the table has another recipe than before."""
    import polars as pl

    from mlops_platform.resources.delta import PARTITION, DeltaDoor
    from mlops_platform.resources.refs import Refs

    refs, (had, key) = Refs(home), before
    now, recipe = refs.read(station).manifest, refs.recipe(station)
    rows = DeltaDoor(home.root / now.delta.path).scan(now.delta.version)
    old, new = had.delta.partitions, now.delta.partitions
    moved = [month for month in {*old, *new} - {*asked} if old.get(month) != new.get(month)]
    names = sorted([*asked, *moved])
    counted = rows.filter(pl.col(PARTITION).is_in(names)).group_by(PARTITION).agg(pl.len()).collect()
    counts: Mapping[str, int] = dict(counted.iter_rows())
    months = [Month(name=m, rows=counts.get(m, 0), before=old.get(m), now=new.get(m), asked=m in asked) for m in names]
    return months, recipe is not None and recipe.key != key


def _emit(table: str, months: list[Month], changed: bool, run: Run, seconds: float) -> None:
    told = [{"month": m.name, "rows": m.rows, "outcome": m.outcome, "before": m.before, "now": m.now,
             "asked": m.asked} for m in months]  # fmt: skip
    emit({
        "table": table, "months": told, "equal": all(month.outcome == EQUAL for month in months),
        "recipe_changed": changed, "seconds": round(seconds, 3), "run_id": run.run_id,
    })  # fmt: skip


def _show(project: Project, table: str, months: list[Month], changed: bool, run: Run, seconds: float) -> None:
    shown = console()
    shown.print(_lines(months))
    if run.red:
        show_end(shown, run, seconds)
    asked = [month for month in months if month.asked]
    different = [month.name for month in asked if month.outcome != EQUAL]
    moved = [month.name for month in months if not month.asked]
    counted = f"{table}: rebuilt {plural(len(asked), 'month')} in {seconds:.1f} s"
    if not different and not moved:
        shown.print(f"{counted}, equal bytes: no rows were written and nothing follows", style="bold")
        return
    said = f"different bytes: {', '.join(different)}" if different else "equal bytes"
    shown.print(f"{counted}, {said}", style="bold red" if different else "bold")
    if moved:
        shown.print(f"not asked for, and written too, since what they are computed from changed: {', '.join(moved)}",
                    style="bold red", soft_wrap=True)  # fmt: skip
    if different:
        cause = "its raw rows, code or declaration changed since it was computed last" if changed else (
            "the same raw rows, code and declaration gave other features, so its function has a source of randomness"
        )  # fmt: skip
        shown.print(cause, soft_wrap=True)
    follow = f"mlops materialize --select 'key:\"{project.name}/features/{table}\"+'"
    shown.print(f"what follows has not moved; mlops materialize moves it all, or: {follow}", soft_wrap=True)


def _lines(months: list[Month]) -> Table:
    lines = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("month", "rows", "outcome", "digest"):
        lines.add_column(name, no_wrap=True, justify="right" if name == "rows" else "left")
    for month in months:
        same = month.outcome == EQUAL
        style = "green" if same else "bold red"
        was = "" if same else f", was {short(month.before) if month.before else 'not there'}"
        now = short(month.now) if month.now else "no rows"
        lines.add_row(month.name, f"{month.rows:,}", f"[{style}]{month.outcome}[/]", f"{now}{was}")
    return lines
