"""A day's live answers asked again offline: what they were told, beside what the feature tables say by now."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from mlops_platform.manifest import Manifest, canonical_json
from mlops_platform.monitoring.skew.bounds import upper_bound
from mlops_platform.monitoring.skew.classes import CLASSES, WRONG, Difference, Told, classified
from mlops_platform.monitoring.skew.compare import Column, compare, plain
from mlops_platform.monitoring.skew.figures import LIVE
from mlops_platform.monitoring.skew.logged import ANSWERED, EVENT, ID, KNOWN, STATUS, TIME, Logged, sampled_answers
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.feast import FeastDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.prediction_log.personal import personal_columns
from mlops_platform.spec import Model, Project


def answered_again(folder: Path, *, home: Home, project: Project, model: Model, log: pl.LazyFrame, until: datetime,
                   read: Mapping[str, Manifest]) -> dict[str, Any]:  # fmt: skip
    """Asks a sample of a day's live answers again offline, and writes ``live_skew.json``.

    Args:
        folder: Where to.
        home: Whose.
        project, model: The declarations.
        log: The prediction log at a version.
        until: The newest live answer, UTC; the day before it is looked at.
        read: The feature tables as they are now.

    Returns:
        The report's content: the day, how many answers, and by feature how many differ, by class.
    """
    tables = {name: DeltaDoor(home.root / m.delta.path).scan(m.delta.version) for name, m in read.items()}
    keys = {key: tables[name].collect_schema()[key] for name in tables for key in project.feature_table(name).keys}
    logged = sampled_answers(log, project, model, keys, rows=model.skew.live_rows, until=until)
    refs = {name: manifest.delta for name, manifest in read.items()}
    offline = FeastDoor(home, project).answer(model, logged.rows.select(*keys, TIME), refs).rows
    report = live_report(project, model, logged, offline, tables)
    (folder / LIVE).write_bytes(canonical_json(report))
    return live_content(report)


def live_report(project: Project, model: Model, logged: Logged, offline: pl.DataFrame,
                tables: Mapping[str, pl.LazyFrame]) -> dict[str, Any]:  # fmt: skip
    """Compares live answers with what the offline store answers.

    Args:
        project, model: The declarations.
        logged: The sample.
        offline: The same rows with the features of the offline store.
        tables: The feature tables as they are now.
    """
    features, left_out = [], personal_columns(project, model).left_out
    for name, columns in project.feature_columns(model).items():
        full = [f"{name}__{column.name}" for column in columns if f"{name}__{column.name}" not in left_out]
        found = [compare(logged.features[f], _as_json_has(offline[f]), tolerance=model.skew.tolerances.get(f))
                 for f in full]  # fmt: skip
        keys = list(project.feature_table(name).keys)
        told = list(_told(logged, name, keys, found))
        classes = list(classified(told, tables[name], keys)) if told else []
        features += [_finding(logged, offline, name, column, classes) for column in found]
    return {
        "model": model.name, "answers": logged.answers, "rows": logged.rows.height,
        "since": logged.since.isoformat(), "until": logged.until.isoformat(), "features": features,
        "not_compared": sorted(left_out & set(project.feature_names(model))),
        "unseen_rate": upper_bound(0, logged.rows.height), "live_mismatch": model.skew.live_mismatch,
    }  # fmt: skip


def live_content(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest tells of a live report."""
    beyond = {f["name"]: f["rate"] for f in report["features"] if f["rate"] > report["live_mismatch"]}
    wrong = {f["name"]: f["classes"][WRONG] for f in report["features"] if f["classes"][WRONG]}
    counted = {kind: sum(f["classes"][kind] for f in report["features"]) for kind in CLASSES}
    lags = [f["longest_lag"] for f in report["features"] if f["longest_lag"] is not None]
    names = ("rows", "answers", "since", "until", "unseen_rate", "live_mismatch", "not_compared")
    return {**{name: report[name] for name in names}, "mismatched": {f["name"]: f["rate"] for f in report["features"]
            if f["mismatched"]}, "beyond": beyond, "wrong": wrong, "classes": counted,
            "longest_lag": max(lags, default=None)}  # fmt: skip


def _as_json_has(column: pl.Series) -> pl.Series:
    """The log is JSON, which has no NaN: there it is null."""
    return column.fill_nan(None) if column.dtype.is_float() else column


def _told(logged: Logged, table: str, keys: list[str], found: Iterable[Column]) -> Iterable[Told]:
    """The rows of a table of which a value differs."""
    differing = {column.name: column.differing for column in found if column.mismatched}
    if not differing:
        return
    places = pl.DataFrame(list(differing.values())).select(pl.any_horizontal(pl.all())).to_series().arg_true()
    for place in places.to_list():
        row, used = logged.rows.row(place, named=True), logged.times[table][place]
        values = {name.removeprefix(f"{table}__"): logged.features[name][place]
                  for name, column in differing.items() if column[place]}  # fmt: skip
        yield Told(place=place, keys=tuple(row[key] for key in keys), at=row[TIME], event=used[EVENT],
                   known=used[KNOWN], status=used[STATUS], values=values)  # fmt: skip


def _finding(logged: Logged, offline: pl.DataFrame, table: str, column: Column,
             classes: list[Difference]) -> dict[str, Any]:  # fmt: skip
    own = [each for each in classes if f"{table}__{each.column}" == column.name]
    lags = [each.lag.total_seconds() for each in own if each.lag is not None]
    worst = own[0] if own else None
    return {
        **column.told(table),
        "classes": {kind: sum(each.kind == kind for each in own) for kind in CLASSES},
        "longest_lag": max(lags, default=None), "median_lag": pl.Series(lags, dtype=pl.Float64).median(),
        "example": None if worst is None else _example(logged, offline, table, column.name, worst),
    }  # fmt: skip


def _example(logged: Logged, offline: pl.DataFrame, table: str, name: str, found: Difference) -> dict[str, Any]:
    place = found.place
    row, used = logged.rows.row(place, named=True), logged.times[table][place]
    return {
        ID: row[ID], TIME: row[TIME].isoformat(), ANSWERED: row[ANSWERED].isoformat(), "class": found.kind,
        "lag_seconds": None if found.lag is None else found.lag.total_seconds(),
        "online": plain(logged.features[name][place]),
        "offline": plain(offline[name][place]),
        "status": used[STATUS],
        "online_row": {each: used[each] and used[each].isoformat() for each in (EVENT, KNOWN)},
    }  # fmt: skip
