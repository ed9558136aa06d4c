"""The leak check: change everything that became known after T, and no row at or before T may change by a bit."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from mlops_platform.manifest import Manifest, canonical_json, digest_of
from mlops_platform.point_in_time import ViewFrame, join_as_of
from mlops_platform.resources.artifacts import Artifact, write_whole
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.source_code import closure, resolve
from mlops_platform.spec import FeatureTable, Model, Project, RawTable, duration

_BEFORE = timedelta(hours=6)
_AFTER = timedelta(days=2)
_SAMPLE = 1_000
_PARTS = ("train", "holdout")
_WHERE = 0.7


@dataclass(frozen=True, kw_only=True)
class LeakReport:
    """What one check found.

    Attributes:
        at: The time T.
        rows: Rows at or before T that were compared.
        changed_facts: Raw rows that were changed because something of them became known after T.
        leaking: Feature columns that changed, with how many rows.
    """

    at: datetime
    rows: int
    changed_facts: int
    leaking: Mapping[str, int]


def remembered_report(
    home: Home, project: Project, model: Model, dataset: Artifact, raw: Mapping[str, Manifest]
) -> dict[str, Any]:
    """The leak check of a dataset, once for each dataset, code and raw rows.

    Returns:
        ``times`` tried (ISO 8601), ``rows`` compared, ``changed_facts``, and ``leaking`` columns with their row counts.
    """
    tables = [project.feature_table(name) for name in project.feature_columns(model)]
    perturbations = [change for table in tables if (change := project.raw_table(table.source).perturb)]
    functions = [*(table.compute for table in tables), *perturbations]
    code = closure("mlops_platform.datasets.leak:check_leak", *functions).digest
    key = digest_of([dataset.manifest.digest, code, {name: manifest.digest for name, manifest in raw.items()}])
    path = home.root / "checks" / "leak" / f"{key.removeprefix('sha256:')}.json"
    if not path.is_file():
        write_whole(path, canonical_json(_report(home, project, model, dataset, raw)))
    return json.loads(path.read_bytes())


def _report(
    home: Home, project: Project, model: Model, dataset: Artifact, raw: Mapping[str, Manifest]
) -> dict[str, Any]:
    tables = {name: manifest.table for name, manifest in raw.items() if manifest.table is not None}
    scans = {name: DeltaDoor(home.root / table.path).scan(table.version) for name, table in tables.items()}
    reports = []
    for part in _PARTS:
        rows = pl.read_parquet(dataset.file(f"{part}.parquet"))
        times = rows["event_timestamp"]
        reports.append(check_leak(project, model, rows, scans, times[int(len(times) * _WHERE)]))
    return {
        "times": [report.at.isoformat() for report in reports],
        "rows": sum(report.rows for report in reports),
        "changed_facts": sum(report.changed_facts for report in reports),
        "leaking": {name: count for report in reports for name, count in report.leaking.items()},
    }


def perturbed(table: RawTable, rows: pl.LazyFrame, at: datetime) -> pl.LazyFrame:
    """The rows with every fact changed that became known after ``at``."""
    if table.perturb is not None:
        change: Callable[[pl.LazyFrame, datetime], pl.LazyFrame] = resolve(table.perturb)
        return change(rows, at)
    late = pl.col("known_timestamp") > at
    values = [c for c in table.columns if c.name not in table.key]
    numbers = [c.name for c in values if c.dtype.startswith(("int", "float"))]
    texts = [c.name for c in values if c.dtype == "string"]
    return rows.with_columns(
        *(pl.when(late).then(pl.col(name) + 1).otherwise(pl.col(name)).alias(name) for name in numbers),
        *(pl.when(late).then(pl.col(name) + "?").otherwise(pl.col(name)).alias(name) for name in texts),
    )


def check_leak(project: Project, model: Model, examples: pl.DataFrame, raw: Mapping[str, pl.LazyFrame],
               at: datetime) -> LeakReport:  # fmt: skip
    """Recomputes the features of the examples just before ``at`` from raw rows, twice, and compares.

    Args:
        project, model: The declarations.
        examples: Rows of a dataset.
        raw: Rows of each raw table by name.
        at: T, UTC.
    """
    event = pl.col("event_timestamp")
    rows = examples.filter((event > at - _BEFORE) & (event <= at)).tail(_SAMPLE)
    leaking: dict[str, int] = {}
    changed = 0
    for name, columns in project.feature_columns(model).items():
        table = project.feature_table(name)
        source = project.raw_table(table.source)
        near = _near(table, raw[table.source], at).collect()
        other = perturbed(source, near.lazy(), at).collect()
        changed += _differing(near, other)
        names = [column.name for column in columns]
        then, now = (_features(table, names, rows, frame.lazy()) for frame in (near, other))
        for column in names:
            moved = int((~then[column].eq_missing(now[column])).sum())
            leaking |= {f"{name}:{column}": moved} if moved else {}
    return LeakReport(at=at, rows=rows.height, changed_facts=changed, leaking=leaking)


def _near(table: FeatureTable, raw: pl.LazyFrame, at: datetime) -> pl.LazyFrame:
    if table.partition == "whole":
        return raw
    back = duration(table.lookback) if table.lookback else timedelta(0)
    return raw.filter(pl.col("event_timestamp").is_between(at - _BEFORE - back, at + _AFTER))


def _differing(one: pl.DataFrame, other: pl.DataFrame) -> int:
    columns = [name for name in one.columns if name in other.columns]
    changed = [~one[name].eq_missing(other[name]) for name in columns]
    return int(pl.DataFrame(changed).select(pl.any_horizontal(pl.all()).sum()).item())


def _features(table: FeatureTable, names: list[str], rows: pl.DataFrame, raw: pl.LazyFrame) -> pl.DataFrame:
    view = ViewFrame(
        name=table.name, frame=resolve(table.compute)(raw), keys={key: key for key in table.keys},
        features={name: name for name in names}, event_timestamp="event_timestamp",
        known_timestamp="known_timestamp", ttl=duration(table.ttl) if table.ttl else None,
    )  # fmt: skip
    entities = rows.lazy().select(*table.keys, "event_timestamp")
    return join_as_of(entities, [view], event_timestamp="event_timestamp").collect(engine="in-memory")
