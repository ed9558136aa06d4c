"""The leak check of a dataset: its features, made again from other raw rows after T, do not change at or before T."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import polars as pl

from mlops_platform.manifest import Manifest, canonical_json, digest_of
from mlops_platform.point_in_time import Facts, LeakReport, ViewFrame, check_leak, join_as_of
from mlops_platform.resources.artifacts import Artifact, write_whole
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.source_code import closure, resolve
from mlops_platform.spec import FeatureTable, Model, Project, duration

# The newest part: rows of earlier parts were the newest of earlier datasets.
_PART = "holdout.parquet"
_WHERE = 0.7
_SAMPLE = 500
_BEFORE = timedelta(hours=3)
_AFTER = timedelta(days=1)
_BACK = timedelta(days=1)


def remembered_report(
    home: Home, project: Project, model: Model, dataset: Artifact, raw: Mapping[str, Manifest]
) -> dict[str, Any]:
    """The leak check of a dataset, once for each dataset, code and raw rows.

    Returns:
        ``at``, the time T (ISO 8601), ``rows`` compared, ``changed_facts``, ``leaking`` columns with their row counts,
        an ``examples`` row of each, and the raw columns that could not be changed, ``unperturbed``.
    """
    tables = [project.feature_table(name) for name in project.feature_columns(model)]
    perturbations = [change for table in tables if (change := project.raw_table(table.source).perturb)]
    functions = [*(table.compute for table in tables), *perturbations]
    code = closure("mlops_platform.datasets.leak:dataset_leak", *functions).digest
    key = digest_of([dataset.manifest.digest, code, {name: manifest.digest for name, manifest in raw.items()}])
    path = home.root / "checks" / "leak" / f"{key.removeprefix('sha256:')}.json"
    if not path.is_file():
        write_whole(path, canonical_json(_told(_report(home, project, model, dataset, raw))))
    return json.loads(path.read_bytes())


def _report(home: Home, project: Project, model: Model, dataset: Artifact, raw: Mapping[str, Manifest]) -> LeakReport:
    tables = {name: manifest.table for name, manifest in raw.items() if manifest.table is not None}
    scans = {name: DeltaDoor(home.root / table.path).scan(table.version) for name, table in tables.items()}
    part = pl.scan_parquet(dataset.file(_PART))
    last = int(dataset.manifest.content["parts"]["holdout"]["rows"] * _WHERE)
    first = max(0, last - _SAMPLE)
    # Some more, since others may share the time T; those after it are left out.
    rows = part.slice(first, last - first + _SAMPLE).collect()
    at, known_time = rows["event_timestamp"][last - first], dataset.manifest.content["known_time"]
    return dataset_leak(project, model, rows, scans, at, known_time=known_time)


def _told(report: LeakReport) -> dict[str, Any]:
    examples = {
        column: {"row": {k: str(v) for k, v in leak.row.items()}, "before": str(leak.before), "after": str(leak.after),
                 "perturbation": leak.perturbation}
        for column, leak in report.examples.items()
    }  # fmt: skip
    return {"at": report.at.isoformat(), "rows": report.rows, "changed_facts": report.changed_facts,
            "leaking": dict(report.leaking), "examples": examples,
            "unperturbed": {name: list(columns) for name, columns in report.unperturbed.items()}}  # fmt: skip


def dataset_leak(
    project: Project, model: Model, examples: pl.DataFrame, raw: Mapping[str, pl.LazyFrame], at: datetime, *,
    known_time: Mapping[str, str] | None = None,
) -> LeakReport:  # fmt: skip
    """Makes the features of the examples just before ``at`` again from other raw rows, and compares.

    Args:
        project, model: The declarations.
        examples: Rows of a dataset; where they have their features, those are what is compared with first.
        raw: Rows of each raw table by name.
        at: T, UTC.
        known_time: How the dataset's views treat what became known late, where not all respect it.
    """
    event = pl.col("event_timestamp")
    rows = examples.filter((event > at - _BEFORE) & (event <= at)).tail(_SAMPLE)
    tables = [project.feature_table(name) for name in project.feature_columns(model)]
    reports = [
        _leak_of(project, model, [table for table in tables if table.source == source], rows, raw[source], at,
                 known_time or {})
        for source in dict.fromkeys(table.source for table in tables)
    ]  # fmt: skip
    return LeakReport(
        at=at, rows=rows.height, changed_facts=sum(report.changed_facts for report in reports),
        leaking={column: count for report in reports for column, count in report.leaking.items()},
        examples={column: leak for report in reports for column, leak in report.examples.items()},
        unperturbed={name: columns for report in reports for name, columns in report.unperturbed.items()},
    )  # fmt: skip


def _leak_of(project: Project, model: Model, tables: Sequence[FeatureTable], rows: pl.DataFrame, raw: pl.LazyFrame,
             at: datetime, known_time: Mapping[str, str]) -> LeakReport:  # fmt: skip
    """The check of the feature tables of one raw table: its rows are read, perturbed and computed on once for all."""
    source = project.raw_table(tables[0].source)
    facts = Facts(
        frame=_near(tables, raw, at).lazy(), keys=source.key,
        event_timestamp="event_timestamp", known_timestamp="known_timestamp",
        perturb=resolve(source.perturb) if source.perturb else None,
    )  # fmt: skip
    keys = dict.fromkeys(key for table in tables for key in table.keys)
    names = {table.name: [c.name for c in project.feature_columns(model)[table.name]] for table in tables}
    answers = [f"{table}__{column}" for table, group in names.items() for column in group]
    return check_leak(
        {source.name: facts}, rows.select(*keys, "event_timestamp"), partial(_features, tables, names, known_time),
        at=at, event_timestamp="event_timestamp", built=rows.select(answers) if {*answers} <= {*rows.columns} else None,
    )  # fmt: skip


def _near(tables: Sequence[FeatureTable], raw: pl.LazyFrame, at: datetime) -> pl.DataFrame:
    """The raw rows that the features just before T, and what could leak into them, are computed from."""
    if any(table.partition == "whole" for table in tables):
        return raw.collect(engine="in-memory")
    back = max([_BACK, *(duration(table.lookback) for table in tables if table.lookback)])
    near = raw.filter(pl.col("event_timestamp").is_between(at - _BEFORE - back, at + _AFTER))
    found = near.collect(engine="in-memory")
    # Facts as rare as this are few, and none at all would prove nothing.
    return raw.collect(engine="in-memory") if found.is_empty() else found


def _features(tables: Sequence[FeatureTable], names: Mapping[str, list[str]], known_time: Mapping[str, str],
              raw: Mapping[str, pl.LazyFrame], rows: pl.DataFrame) -> pl.DataFrame:  # fmt: skip
    views = [
        ViewFrame(
            name=table.name, frame=resolve(table.compute)(raw[table.source]), keys={key: key for key in table.keys},
            features={name: f"{table.name}__{name}" for name in names[table.name]}, event_timestamp="event_timestamp",
            known_timestamp="known_timestamp", ttl=duration(table.ttl) if table.ttl else None,
            known_time="ignore" if known_time.get(table.name) == "ignore" else "respect",
        )
        for table in tables
    ]  # fmt: skip
    joined = join_as_of(rows.lazy(), views, event_timestamp="event_timestamp").collect(engine="in-memory")
    return joined.drop(rows.columns)
