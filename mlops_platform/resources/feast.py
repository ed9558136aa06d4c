"""The door to Feast: apply a plain repository, join features as of a time, bring them online.

Feast is imported when a method needs it, never before. The registry is code that Feast executes, so only ``apply``
here writes it, from the project's own repository.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from mlops_platform.errors import PlatformError
from mlops_platform.manifest import TableRef, digest_bytes, digest_of
from mlops_platform.resources.artifacts import write_whole
from mlops_platform.resources.home import Home
from mlops_platform.spec import FeatureTable, Model, Project, duration

if TYPE_CHECKING:
    from feast import FeatureStore

_VALUE_TYPES = {"int8": "INT32", "int64": "INT64", "float32": "FLOAT", "float64": "DOUBLE", "string": "STRING",
                "bool": "BOOL", "timestamp": "UNIX_TIMESTAMP"}  # fmt: skip
_REGISTRY = "registry.db"
_APPLIED_FOR = "applied_for"
"""Note beside the registry: the home whose tables it names."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the offline store answered.

    Attributes:
        rows: The examples with their features.
        known_time: How each view treats what became known late: ``respect``; ``ignore``, by which a row sees what was
            not known at its time; ``none``, where the view has no known timestamp to tell by; ``untold``, where another
            offline store than ours answered.
    """

    rows: pl.DataFrame
    known_time: Mapping[str, str]


@dataclass(frozen=True)
class FeastDoor:
    """One project's Feast repository over one home."""

    home: Home
    project: Project

    @property
    def applied(self) -> bool:
        """Whether the registry is there and names the tables of this home: it holds whole paths, also in a copy."""
        return (self.home.feast / _REGISTRY).is_file() and self._applied_for == str(self.home.root)

    @property
    def _applied_for(self) -> str | None:
        note = self.home.feast / _APPLIED_FOR
        return note.read_text(encoding="utf-8") if note.is_file() else None

    def store(self, tables: Mapping[str, TableRef]) -> "FeatureStore":
        """Feast's own store object, its offline reads pinned.

        Args:
            tables: The version of each feature table that is to be read, by name.

        Raises:
            PlatformError: The registry is not there, or names the tables of another home.
        """
        if not self.applied:
            raise PlatformError(
                required=f"Feast's registry to be applied for {self.home.root}",
                found=f"{self.home.feast / _REGISTRY}, applied for {self._applied_for or 'no home that is known'}",
                remedy=f"mlops materialize --select 'key:\"{self.project.name}/feast/registry\"', as after any move or "
                "copy of a home",
            )
        return self._store(tables)

    def _store(self, tables: Mapping[str, TableRef]) -> "FeatureStore":
        from feast import FeatureStore
        from feast.repo_config import load_repo_config

        self.home.export()
        self.home.feast.mkdir(parents=True, exist_ok=True)
        repo = Path(self.project.feature_repo)
        config = load_repo_config(repo, repo / "feature_store.yaml")
        pinned = {str(self.home.root / table.path): table.version for table in tables.values()}
        config.offline_store.table_versions = pinned
        return FeatureStore(config=config)

    def apply(self) -> dict[str, str]:
        """What ``feast apply`` does, and the digest of each object that is now registered.

        The settings of the offline store are among them: they decide answers as much as the views do.
        """
        objects = self.objects()
        self._require_agreement(objects)
        store = self._store({})
        store.apply(objects)
        write_whole(self.home.feast / _APPLIED_FOR, str(self.home.root).encode(), replace=True)
        settings = store.config.offline_store.model_dump(mode="json")
        return {
            f"OfflineStore:{settings['type']}": digest_of(settings),
            **{f"{type(o).__name__}:{o.name}": digest_bytes(_stable_spec(o)) for o in objects},
        }

    def objects(self) -> list[Any]:
        """Every Feast object that the repository's files define, imported afresh."""
        from feast import Entity, FeatureService, FeatureView
        from feast.data_source import DataSource

        self.home.export()
        found: dict[tuple[str, str], Any] = {}
        with _modules_of(Path(self.project.feature_repo)) as modules:
            for module in modules:
                for value in vars(module).values():
                    if isinstance(value, DataSource | Entity | FeatureView | FeatureService):
                        found[(type(value).__name__, value.name)] = value
        return [found[key] for key in sorted(found)]

    def with_features(self, model: Model, examples: pl.DataFrame, tables: Mapping[str, TableRef]) -> pl.DataFrame:
        """The rows of ``answer`` alone."""
        return self.answer(model, examples, tables).rows

    def answer(self, model: Model, examples: pl.DataFrame, tables: Mapping[str, TableRef]) -> Answer:
        """Adds a model's features, as known at each example's ``event_timestamp``.

        Args:
            model: The declaration; its feature service tells which features.
            examples: One row an answer wanted: entity keys, ``event_timestamp`` (UTC), any other columns.
            tables: The version of each feature table to read.

        Returns:
            The same rows in the same order, with the features, named ``table__column``.

        Raises:
            PlatformError: The offline store lost or multiplied rows.
        """
        store = self.store(tables)
        entities = examples.select(*self.project.entity_keys(model), "event_timestamp")
        service = store.get_feature_service(model.feature_service)
        job = store.get_historical_features(entity_df=entities, features=service, full_feature_names=True)
        joined = job.to_polars()
        if joined.height != examples.height:
            raise PlatformError(
                required=f"one row back for each of {examples.height} examples",
                found=f"{joined.height} rows",
                remedy="set offline_store to PolarsOfflineStore in feature_store.yaml: others lose or multiply rows",
            )
        told = {read.view: read.known_time if read.known_timestamp else "none" for read in getattr(job, "reads", ())}
        known_time = {name: told.get(name, "untold") for name in self.project.feature_columns(model)}
        return Answer(rows=examples.hstack(joined.select(self.project.feature_names(model))), known_time=known_time)

    def materialize(self, tables: Mapping[str, TableRef], start: datetime, end: datetime) -> None:
        """Brings the newest row of each key to the online store."""
        with contextlib.redirect_stdout(sys.stderr):
            self.store(tables).materialize(start, end, feature_views=sorted(tables), disable_event_timestamp=False)

    def _require_agreement(self, objects: list[Any]) -> None:
        from feast import Entity, FeatureService, FeatureView

        views = {o.name: o for o in objects if isinstance(o, FeatureView)}
        join_keys = {o.name: o.join_key for o in objects if isinstance(o, Entity)}
        found = {name: view_facts(view, join_keys) for name, view in views.items()}
        wanted = {table.name: table_facts(table) for table in self.project.feature_tables}
        services = {o.name: o for o in objects if isinstance(o, FeatureService)}
        differing = [name for name in sorted({*found, *wanted}) if found.get(name) != wanted.get(name)]
        said = [f"view {name}: declared {wanted.get(name)}, in the repository {found.get(name)}" for name in differing]
        for model in self.project.models:
            declared = {t: [c.name for c in cs] for t, cs in self.project.feature_columns(model).items()}
            service = services.get(model.feature_service)
            served = (
                {p.name: [f.name for f in p.features] for p in service.feature_view_projections} if service else None
            )
            if served != declared:
                said.append(f"service {model.feature_service}: declared {declared}, in the repository {served}")
        said += self._other_keys(views, {o.join_key: o.value_type.name for o in objects if isinstance(o, Entity)})
        if said:
            raise PlatformError(
                required=f"the declarations and {self.project.feature_repo} to agree, field by field",
                found="; ".join(said),
                remedy="change one of them",
            )

    def _other_keys(self, views: Mapping[str, Any], of_entities: Mapping[str, str]) -> list[str]:
        """Entity keys whose type is not that of the raw column: rows written under one would be asked under another."""
        said = []
        for table in self.project.feature_tables:
            raw = {column.name: column.dtype for column in self.project.raw_table(table.source).columns}
            of_view = views[table.name].entity_columns if table.name in views else []
            found = {**of_entities, **{column.name: column.dtype.to_value_type().name for column in of_view}}
            said += [
                f"key {key} of view {table.name}: declared {_VALUE_TYPES[raw[key]]}, in the repository {found[key]}"
                for key in table.keys
                if found.get(key, "UNKNOWN") not in ("UNKNOWN", _VALUE_TYPES[raw[key]])
            ]
        return said


def table_facts(table: FeatureTable) -> dict[str, Any]:
    """What a declaration says of a feature view, in the terms of ``view_facts``."""
    return {
        "keys": sorted(table.keys),
        "columns": {column.name: _VALUE_TYPES[column.dtype] for column in table.columns},
        "ttl": duration(table.ttl).total_seconds() if table.ttl else 0.0,
        "event_timestamp": "event_timestamp",
        "known_timestamp": "known_timestamp",
    }


def view_facts(view: Any, join_keys: Mapping[str, str]) -> dict[str, Any]:
    """What a Feast feature view says; ``join_keys`` tells each entity's."""
    return {
        "keys": sorted(join_keys[entity] for entity in view.entities),
        "columns": {field.name: field.dtype.to_value_type().name for field in view.features},
        "ttl": view.ttl.total_seconds() if view.ttl else 0.0,
        "event_timestamp": view.batch_source.timestamp_field,
        "known_timestamp": view.batch_source.created_timestamp_column,
    }


def _stable_spec(value: Any) -> bytes:
    """An object's protobuf without the times that Feast stamps and without the home it happens to read."""
    proto = value.to_proto()
    _forget_times(proto)
    return digest_of(str(proto).replace(os.environ["MLOPS_HOME"], "")).encode()


def _forget_times(message: Any) -> None:
    for field, value in message.ListFields():
        if field.name in ("created_timestamp", "last_updated_timestamp"):
            message.ClearField(field.name)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            repeated = not hasattr(value, "ListFields")
            for inner in value if repeated else (value,):
                _forget_times(inner)


@contextlib.contextmanager
def _modules_of(repo: Path) -> Iterator[list[Any]]:
    """The repository's files as modules; they may import each other, and are forgotten afterwards."""
    names = sorted(path.stem for path in repo.glob("*.py") if not path.stem.startswith("_"))
    hidden = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.path.insert(0, str(repo))
    try:
        yield [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(str(repo))
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(hidden)
