"""The feature rows behind a live answer: the log says which rows, the feature tables' recorded versions hold them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl

from mlops_platform.errors import MissingArtifactError
from mlops_platform.manifest import Manifest
from mlops_platform.provenance.feature_rows import PRESENT, Chosen, FeatureRow, walked
from mlops_platform.resources.artifacts import MANIFEST, ArtifactStore
from mlops_platform.resources.delta_files import Bounds, TableFiles
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.spec import FeatureTable, Model, Project

_EVENT, _KNOWN = "event_timestamp", "known_timestamp"


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the prediction log tells of a live answer.

    Attributes:
        inputs: The example as it was asked; personal columns hashed or left out.
        features: Value of each feature, ``table__column``, that the model was given.
        times: By feature table: ``event`` and ``known`` of the row read, ISO 8601, and its ``status``.
        marks: By feature, what a policy did about it.
    """

    inputs: dict[str, Any]
    features: dict[str, Any]
    times: dict[str, dict[str, Any]]
    marks: dict[str, str]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Told":
        """From a row of the log, whose columns are JSON texts."""
        parts = {name: row.get(name) for name in ("inputs", "features", "feature_times", "marks")}
        read = {name: json.loads(text) if text else {} for name, text in parts.items()}
        return cls(inputs=read["inputs"], features=read["features"], times=read["feature_times"], marks=read["marks"])


def live_rows(home: Home, project: Project, model: Model, told: Told) -> tuple[list[FeatureRow], list[str]]:
    """The feature rows of a live answer, and, in words, what of them is not recorded."""
    store = ArtifactStore(home)
    rows: list[FeatureRow | None] = []
    chosen: list[tuple[int, Chosen]] = []
    missing: list[str] = []
    for name, columns in project.feature_columns(model).items():
        table, names = project.feature_table(name), [column.name for column in columns]
        if name not in told.times:
            missing.append(f"a row of {name}: the caller gave its values with the question")
            continue
        found, words = _found(home, project, store, table, names, told)
        missing += words
        if found is not None:
            chosen.append((len(rows), found))
        rows.append(None if found else _unfound(table, names, told))
    for (place, each), row in zip(chosen, walked(home, [each for _, each in chosen]), strict=True):
        rows[place] = _as_answered(home, each, row, told)
    return [row for row in rows if row is not None], missing


def _found(home: Home, project: Project, store: ArtifactStore, table: FeatureTable, names: list[str],
           told: Told) -> tuple[Chosen | None, list[str]]:  # fmt: skip
    """The row in the newest recorded version that has it."""
    times = told.times[table.name]
    if times.get("event") is None:
        return None, []
    personal = [key for key in table.keys if key in personal_columns(project) or key not in told.inputs]
    if personal:
        return None, [f"which row of {table.name} was read: its key {', '.join(personal)} is personal and was not kept"]
    for features in _versions(home, project, store, table):
        files = TableFiles.at(home.root / features.delta.path, features.delta.version)
        keys = {key: typed(told.inputs[key], files.schema[key]) for key in table.keys}
        event, known = (datetime.fromisoformat(times[name]) if times.get(name) else None for name in ("event", "known"))
        bounds: Bounds = {**{name: (value, value) for name, value in keys.items()}, _EVENT: (event, event)}
        rows = files.scan(bounds).filter(pl.col(_KNOWN).eq_missing(pl.lit(known, files.schema[_KNOWN])))
        found = rows.select(*names, _EVENT, _KNOWN).collect(engine="in-memory")
        if found.height:
            raw, gone = _raw(store, features, table)
            row = found.row(-1, named=True)
            return Chosen(table=table, names=names, keys=keys, features=features, raw=raw, row=row), gone
    return None, [
        f"the row of {table.name}, true {times['event']}, known {times.get('known')}: no recorded version of the table "
        "has it; it was removed since, or the online store was written from a version that is not recorded"
    ]


def _versions(home: Home, project: Project, store: ArtifactStore, table: FeatureTable) -> Iterator[Manifest]:
    """The recorded versions of a feature table: the one it stands for now, then all others, newest first."""
    now = Refs(home).find(f"{project.name}/features/{table.name}")
    if now is not None:
        yield now.manifest
    where = home.relative(home.feature_table(project.name, table.name))
    others = []
    for path in (store.root / "features").glob(f"*/{MANIFEST}"):
        data = path.read_bytes()
        if where.encode() in data:
            manifest = Manifest.from_json(data, source=str(path))
            others.append(manifest)
    for manifest in sorted(others, key=lambda each: -each.delta.version):
        if manifest.delta.path == where and (now is None or manifest.digest != now.manifest.digest):
            yield manifest


def _raw(store: ArtifactStore, features: Manifest, table: FeatureTable) -> tuple[Manifest | None, list[str]]:
    try:
        return store.open("raw", features.recipe.inputs[table.source]).manifest, []
    except MissingArtifactError as error:
        return None, [f"the raw rows behind the row of {table.name}: {error.found}"]


def _as_answered(home: Home, chosen: Chosen, row: FeatureRow, told: Told) -> FeatureRow:
    """The row as the model was given it, beside whether the recorded one holds the same."""
    schema = TableFiles.at(home.root / chosen.features.delta.path, chosen.features.delta.version).schema
    status, given, marks = _given(chosen.table, chosen.names, told)
    same = {n: typed(given[n], schema[n]) == row.values[n] or (given[n] is None and status != PRESENT) or n in marks
            for n in chosen.names}  # fmt: skip
    return replace(row, status=status, marks=marks, values=given, as_answered=all(same.values()))


def _unfound(table: FeatureTable, names: list[str], told: Told) -> FeatureRow:
    times, (status, given, marks) = told.times[table.name], _given(table, names, told)
    event, known = (datetime.fromisoformat(times[name]) if times.get(name) else None for name in ("event", "known"))
    return FeatureRow(
        view=table.name, version=None, digest=None, keys={key: told.inputs.get(key) for key in table.keys},
        event_timestamp=event, known_timestamp=known, values=given, source=None, recomputed_equal=None,
        status=status, marks=marks,
    )  # fmt: skip


def _given(table: FeatureTable, names: list[str], told: Told) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Status, values and marks that the log has of a table's row."""
    whole = {name: f"{table.name}__{name}" for name in names}
    marks = {name: told.marks[full] for name, full in whole.items() if full in told.marks}
    given = {name: told.features.get(full) for name, full in whole.items()}
    return str(told.times[table.name].get("status", PRESENT)).lower(), given, marks


def typed(value: Any, dtype: pl.DataType) -> Any:
    """A JSON value as a table of that column type gives it."""
    if value is None or isinstance(dtype, pl.String):
        return value
    if isinstance(dtype, pl.Datetime):
        return datetime.fromisoformat(value)
    return pl.Series([value]).cast(dtype, strict=False).item()


def personal_columns(project: Project) -> frozenset[str]:
    """Names of the columns that hold personal data."""
    tables = [*(t.columns for t in project.raw_tables), *(t.columns for t in project.feature_tables)]
    every = [*(column for columns in tables for column in columns), *(c for m in project.models for c in m.context)]
    carried = [column for model in project.models for column in model.carried]
    return frozenset(column.name for column in (*every, *carried) if column.personal)
