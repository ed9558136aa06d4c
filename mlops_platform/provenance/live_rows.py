"""The feature rows behind a live answer: the log says which rows, the feature tables' recorded versions hold them."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import polars as pl

from mlops_platform.manifest import Manifest
from mlops_platform.provenance.evidence import opened, standing
from mlops_platform.provenance.feature_rows import PRESENT, Chosen, FeatureRow, raw_of, walked
from mlops_platform.resources.artifacts import MANIFEST, ArtifactStore
from mlops_platform.resources.delta_files import Bounds, TableFiles, collected
from mlops_platform.resources.home import Home
from mlops_platform.resources.prediction_log.personal import KEY, Personal, key_file, personal_columns
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
        online: Digest of what the online store stood for then; None where that was not recorded.
    """

    inputs: dict[str, Any]
    features: dict[str, Any]
    times: dict[str, dict[str, Any]]
    marks: dict[str, str]
    online: str | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Told":
        """From a row of the log, whose columns are JSON texts."""
        parts = {name: row.get(name) for name in ("inputs", "features", "feature_times", "marks")}
        read = {name: json.loads(text) if text else {} for name, text in parts.items()}
        return cls(inputs=read["inputs"], features=read["features"], times=read["feature_times"], marks=read["marks"],
                   online=row.get("online"))  # fmt: skip


def live_rows(home: Home, project: Project, model: Model, told: Told) -> tuple[list[FeatureRow], list[str]]:
    """The feature rows of a live answer, and, in words, what of them is not recorded."""
    search = _Search(home, project, model, told)
    rows: list[FeatureRow | None] = []
    chosen: list[tuple[int, Chosen]] = []
    missing: list[str] = []
    for name, columns in project.feature_columns(model).items():
        table, names = project.feature_table(name), [column.name for column in columns]
        if name not in told.times:
            missing.append(f"a row of {name}: the caller gave its values with the question")
            continue
        found, words = search.row(table, names)
        missing += words
        if found is not None:
            chosen.append((len(rows), found))
        rows.append(None if found else _unfound(table, names, told))
    for (place, each), row in zip(chosen, walked(home, [each for _, each in chosen]), strict=True):
        rows[place] = _as_answered(home, each, row, told)
    return [row for row in rows if row is not None], missing


@dataclass(frozen=True)
class _Search:
    """Looks for the rows that one answer read."""

    home: Home
    project: Project
    model: Model
    told: Told

    def row(self, table: FeatureTable, names: list[str]) -> tuple[Chosen | None, list[str]]:
        """The row in the newest recorded version that has it."""
        times, store = self.told.times[table.name], ArtifactStore(self.home)
        if times.get("event") is None:
            return None, []
        unknown = [key for key in table.keys if key not in self.told.inputs or not self._can_tell(key)]
        if unknown:
            return None, [f"which row of {table.name} was read: its key {', '.join(unknown)} is personal, and neither "
                          "it nor the secret of its hash is kept here"]  # fmt: skip
        for features in _versions(self.home, self.project, store, table, self.told.online):
            files = TableFiles.at(self.home.root / features.delta.path, features.delta.version)
            found = self._rows(files, table, names, times)
            if found.height:
                raw, gone = raw_of(store, features, table)
                row = found.row(-1, named=True)
                keys = {key: row[key] for key in table.keys}
                return Chosen(table=table, names=names, keys=keys, features=features, raw=raw, row=row), gone
        return None, [
            f"the row of {table.name}, true {times['event']}, known {times.get('known')}: no recorded version of the "
            "table has it; it was removed since, or the online store was written from a version that is not recorded"
        ]

    def _rows(self, files: TableFiles, table: FeatureTable, names: list[str], times: dict[str, Any]) -> pl.DataFrame:
        """Rows of that key and those times; of a key that was hashed, those whose hash it is."""
        inputs, hashed = self.told.inputs, self._hashed
        open_keys = {key: typed(inputs[key], files.schema[key]) for key in table.keys if key not in hashed}
        event, known = moment(times["event"]), moment(times.get("known"))
        bounds: Bounds = {**{key: (value, value) for key, value in open_keys.items()}, _EVENT: (event, event)}
        rows = files.scan(bounds).filter(pl.col(_KNOWN).eq_missing(pl.lit(known, files.schema[_KNOWN])))
        (found,) = collected([rows.select(*table.keys, *names, _EVENT, _KNOWN)], [files])
        secret = [key for key in table.keys if key in hashed]
        if not secret or found.is_empty():
            return found
        hashes = Personal(self.home, self.project, self.model).logged(found.select(secret))
        return found.filter(pl.all_horizontal(hashes[key] == pl.lit(inputs[key]) for key in secret))

    def _can_tell(self, key: str) -> bool:
        """Whether rows can be compared by a key: it is no secret, or that of its hash is at hand."""
        return key not in self._hashed or bool(os.environ.get(KEY)) or key_file(self.home).is_file()

    @cached_property
    def _hashed(self) -> frozenset[str]:
        return personal_columns(self.project, self.model).hashed


def _versions(home: Home, project: Project, store: ArtifactStore, table: FeatureTable,
              online: str | None) -> Iterator[Manifest]:  # fmt: skip
    """The recorded versions of a feature table: the one brought online, the one it stands for now, then the others."""
    likely = (_brought(store, table, online), standing(home, f"{project.name}/features/{table.name}"))
    first = {each.digest: each for each in likely if each is not None}
    yield from first.values()
    where = home.relative(home.feature_table(project.name, table.name))
    others = []
    for path in (store.root / "features").glob(f"*/{MANIFEST}"):
        data = path.read_bytes()
        if where.encode() in data:
            manifest = Manifest.from_json(data, source=str(path))
            others.append(manifest)
    for manifest in sorted(others, key=lambda each: -each.delta.version):
        if manifest.delta.path == where and manifest.digest not in first:
            yield manifest


def _brought(store: ArtifactStore, table: FeatureTable, online: str | None) -> Manifest | None:
    """The version of a feature table that was online, as far as that was recorded and is kept."""
    whole = opened(store, "online", online, "the online store")[0] if online else None
    digest = whole.recipe.inputs.get(table.name) if whole else None
    return opened(store, "features", digest, "the feature table")[0] if digest else None


def _as_answered(home: Home, chosen: Chosen, row: FeatureRow, told: Told) -> FeatureRow:
    """The row as the model was given it, beside whether the recorded one holds the same, as far as the log tells."""
    schema = TableFiles.at(home.root / chosen.features.delta.path, chosen.features.delta.version).schema
    status, given, marks = _given(chosen.table, chosen.names, told)
    logged = [name for name in chosen.names if f"{chosen.table.name}__{name}" in told.features]
    same = {n: typed(given[n], schema[n]) == row.values[n] or (given[n] is None and status != PRESENT) or n in marks
            for n in logged}  # fmt: skip
    keys = {key: told.inputs[key] for key in chosen.table.keys}
    return replace(row, keys=keys, status=status, marks=marks, values=given,
                   as_answered=all(same.values()) if same else None)  # fmt: skip


def _unfound(table: FeatureTable, names: list[str], told: Told) -> FeatureRow:
    times, (status, given, marks) = told.times[table.name], _given(table, names, told)
    event, known = moment(times.get("event")), moment(times.get("known"))
    return FeatureRow(
        view=table.name, version=None, digest=None, keys={key: told.inputs.get(key) for key in table.keys},
        event_timestamp=event, known_timestamp=known, values=given, source=None, recomputed_equal=None,
        status=status, marks=marks,
    )  # fmt: skip


def _given(table: FeatureTable, names: list[str], told: Told) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Status, values and marks that the log has of a table's row."""
    whole = {name: f"{table.name}__{name}" for name in names}
    # A mark may be about a whole row.
    every = {name: told.marks.get(full, told.marks.get(table.name)) for name, full in whole.items()}
    marks = {name: mark for name, mark in every.items() if mark is not None}
    given = {name: told.features.get(full) for name, full in whole.items()}
    return str(told.times[table.name].get("status", PRESENT)).lower(), given, marks


def typed(value: Any, dtype: pl.DataType) -> Any:
    """A JSON value as a table of that column type gives it."""
    if value is None or isinstance(dtype, pl.String):
        return value
    if isinstance(dtype, pl.Datetime):
        return datetime.fromisoformat(value)
    return pl.Series([value]).cast(dtype, strict=False).item()


def moment(text: str | None) -> datetime | None:
    """A time of the log, ISO 8601."""
    return datetime.fromisoformat(text) if text else None
