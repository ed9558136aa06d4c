"""The door to the online store: a model's features for entities that are asked about now.

Where ``feature_store.yaml`` names our store it is read as it is, and Feast is not imported; any other store is asked
through Feast.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from mlops_platform.errors import PlatformError, StoreError
from mlops_platform.manifest import digest_of
from mlops_platform.online_store import FEW, OnlineFeatures, PackedStore, PackedView, Status
from mlops_platform.online_store.packed import FEAST_TYPE
from mlops_platform.online_store.view import packed_dtype
from mlops_platform.resources.delta import POLARS_TYPES
from mlops_platform.resources.feast import FeastDoor
from mlops_platform.resources.home import Home
from mlops_platform.spec import Column, FeatureTable, Model, Project, duration

_TIME = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class TableRows:
    """What one feature table answers for N rows.

    Attributes:
        values: The columns asked for, each of its declared dtype, named ``table__column``.
        status: UInt8 of ``Status`` [N].
        events, knowns: Datetime us UTC, null where there is no row or none was told.
    """

    values: list[pl.Series]
    status: np.ndarray
    events: pl.Series
    knowns: pl.Series

    @classmethod
    def missing(cls, name: str, columns: Sequence[Column], rows: int) -> "TableRows":
        """The answer when no entity has a row."""
        nothing = pl.Series(name, [None] * rows, dtype=_TIME)
        values = [pl.Series(f"{name}__{c.name}", [None] * rows, dtype=POLARS_TYPES[c.dtype]) for c in columns]
        return cls(values, np.full(rows, Status.MISSING, np.uint8), nothing, nothing)

    @classmethod
    def of(cls, table: FeatureTable, columns: Sequence[Column], results: Mapping[str, Any], places: np.ndarray,
           at: pl.Series) -> "TableRows":  # fmt: skip
        """Reads Feast's protobuf answer about the rows at ``places``."""
        from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

        nothing = cls.missing(table.name, columns, len(at))
        vectors = [results[f"{table.name}__{column.name}"] for column in columns]
        told = pl.Series([t.seconds * 1_000_000 + t.nanos // 1000 for t in vectors[0].event_timestamps])
        seen = np.array([[s != FieldStatus.NOT_FOUND for s in v.statuses] for v in vectors]).any(axis=0)
        # Redis says of an entity without a row that it is present, with empty values of 1970.
        found = seen & (told != 0).to_numpy()
        events = nothing.events.clone().scatter(places[found], told.cast(_TIME).filter(pl.Series(found)))
        status = nothing.status.copy()
        status[places[found]] = Status.PRESENT
        if table.ttl:
            status[(events < at - duration(table.ttl)).fill_null(False).to_numpy()] = Status.STALE
        status[(events > at).fill_null(False).to_numpy()] = Status.LATER
        seen = (status[places] == Status.PRESENT) | (status[places] == Status.LATER)
        values = []
        for empty, column, vector in zip(nothing.values, columns, vectors, strict=True):
            plain = pl.Series([_plain(value) for value in vector.values], dtype=_ARRIVES.get(column.dtype, empty.dtype))
            values.append(empty.clone().scatter(places[seen], plain.filter(pl.Series(seen)).cast(empty.dtype)))
        return cls(values, status, events, nothing.knowns)


@dataclass(frozen=True)
class OnlineDoor:
    """One project's online store over one home."""

    home: Home
    project: Project

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """What ``feature_store.yaml`` says, variables of the environment filled in as Feast does it."""
        self.home.export()
        return yaml.safe_load(os.path.expandvars(self._text))

    @property
    def ours(self) -> bool:
        """Whether features are online in our store, not in one that only Feast knows."""
        online = self.settings.get("online_store")
        return isinstance(online, dict) and online.get("type") == FEAST_TYPE

    @property
    def there(self) -> bool:
        """Whether the store's file is there, if it is one: a server's rows cannot be deleted with the home."""
        path = (self.settings.get("online_store") or {}).get("path")
        return path is None or (Path(self.project.feature_repo) / path).is_file()

    @property
    def identity(self) -> str:
        """Digest of the store's settings as they are written, so that another store is brought up to date."""
        return digest_of(yaml.safe_load(self._text).get("online_store"))

    @cached_property
    def packed(self) -> PackedStore:
        """Our store, where the settings say."""
        return PackedStore(Path(self.project.feature_repo) / self.settings["online_store"]["path"])

    def view(self, table: FeatureTable) -> PackedView:
        """A feature table as our store packs it; made once, since a view's layout is worked out from it."""
        known = self._views.get(table.name)
        if known is None or known[0] is not table:
            known = self._views[table.name] = table, packed_view(self.project, table, self.settings["project"])
        return known[1]

    @cached_property
    def _views(self) -> dict[str, tuple[FeatureTable, PackedView]]:
        return {}

    def read(self, model: Model, examples: pl.DataFrame) -> OnlineFeatures:
        """Reads a model's features.

        Args:
            model: The declaration.
            examples: N rows: entity keys, and ``event_timestamp`` (UTC), the time of each question, by which ``ttl`` is
                judged. An entity with a null in its key has no features.

        Returns:
            N rows in the same order. Another store than ours tells no known timestamps, and event timestamps of whole
            seconds at best.

        Raises:
            PlatformError: The store or a view is not there, its rows have other columns, or a key is of another dtype.
        """
        asked = self._columns(model)
        at = examples["event_timestamp"]
        if self.ours and examples.height <= FEW and at.dtype == _TIME and not at.null_count():
            return self._few(asked, examples, at.cast(pl.Int64).to_list())
        found = self.tables(asked, examples)
        values = [column for part in found.values() for column in part.values]
        return OnlineFeatures(
            values=pl.DataFrame(values),
            statuses=pl.DataFrame([pl.Series(name, part.status) for name, part in found.items()]),
            events=pl.DataFrame([part.events.alias(name) for name, part in found.items()]),
            knowns=pl.DataFrame([part.knowns.alias(name) for name, part in found.items()]),
        )

    def tables(self, asked: Mapping[str, Sequence[Column]], examples: pl.DataFrame) -> dict[str, TableRows]:
        """Reads columns of feature tables, by table; else as ``read`` does."""
        if self.ours:
            return {name: self._packed(name, columns, examples) for name, columns in asked.items()}
        return self._through_feast(asked, examples)

    def write(self, table: FeatureTable, rows: pl.DataFrame) -> None:
        """Brings rows online in our store, in one transaction that leaves what is newer.

        Args:
            table: The declaration.
            rows: Keys, both timestamps and the table's columns; none of its keys null.
        """
        self.packed.write(self.view(table), rows)

    def _columns(self, model: Model) -> dict[str, tuple[Column, ...]]:
        """The columns that a model reads; found once, as a question has a tenth of a millisecond."""
        known = self._asked.get(model.name)
        if known is None or known[0] is not model:
            known = self._asked[model.name] = model, self.project.feature_columns(model)
        return known[1]

    @cached_property
    def _asked(self) -> dict[str, tuple[Model, dict[str, tuple[Column, ...]]]]:
        return {}

    def _few(self, asked: Mapping[str, Sequence[Column]], examples: pl.DataFrame, at: Sequence[int]
             ) -> OnlineFeatures:  # fmt: skip
        """Our store's answer about a few rows: four frames made at once, not a series for each column."""
        values: dict[str, list[Any]] = {}
        types: dict[str, Any] = {}
        statuses, events, knowns = {}, {}, {}
        for name, columns in asked.items():
            view = self.view(self.project.feature_table(name))
            found = self.packed.read_few(view, examples, at, [column.name for column in columns])
            statuses[name], events[name], knowns[name] = found.status, found.events, found.knowns
            for column, each in zip(columns, found.values, strict=True):
                full = f"{name}__{column.name}"
                values[full], types[full] = each, POLARS_TYPES[column.dtype]
        return OnlineFeatures(
            values=_frame(values, types),
            statuses=_frame(statuses, dict.fromkeys(asked, pl.UInt8())),
            events=_frame(events, dict.fromkeys(asked, _TIME)),
            knowns=_frame(knowns, dict.fromkeys(asked, _TIME)),
        )

    def _packed(self, name: str, columns: Sequence[Column], examples: pl.DataFrame) -> TableRows:
        view = self.view(self.project.feature_table(name))
        rows = self.packed.read(view, examples, examples["event_timestamp"], [column.name for column in columns])
        values = [_declared(name, c, series) for c, series in zip(columns, rows.values.get_columns(), strict=True)]
        return TableRows(values, rows.status, rows.events, rows.knowns)

    def _through_feast(self, asked: Mapping[str, Sequence[Column]], examples: pl.DataFrame) -> dict[str, TableRows]:
        whole = not any(examples[key].null_count() for name in asked for key in self.project.feature_table(name).keys)
        found: dict[str, TableRows] = {}
        # Feast refuses a null key, though another view of the same question may have a whole one.
        for names in [list(asked)] if whole else [[name] for name in asked]:
            found |= self._of_views({name: asked[name] for name in names}, examples)
        return {name: found[name] for name in asked}

    def _of_views(self, asked: Mapping[str, Sequence[Column]], examples: pl.DataFrame) -> dict[str, TableRows]:
        keys = list(dict.fromkeys(key for name in asked for key in self.project.feature_table(name).keys))
        there = examples.select(pl.all_horizontal(pl.lit(True), *(pl.col(key).is_not_null() for key in keys)))
        places = there.to_series().arg_true()
        if not len(places):
            return {name: TableRows.missing(name, columns, examples.height) for name, columns in asked.items()}
        rows = examples.select(keys)[places] if keys else examples.select(__dummy_id=pl.lit(""))
        answer = self._told(
            features=[f"{name}:{column.name}" for name, columns in asked.items() for column in columns],
            entity_rows={name: column.to_list() for name, column in rows.to_dict().items()},
            full_feature_names=True,
        )
        results = dict(zip(answer.metadata.feature_names.val, answer.results, strict=True))
        at = examples["event_timestamp"].cast(_TIME)
        return {
            name: TableRows.of(self.project.feature_table(name), columns, results, places.to_numpy(), at)
            for name, columns in asked.items()
        }

    def _told(self, **question: Any) -> Any:
        """Feast's protobuf answer.

        Raises:
            StoreError: The store behind it does not answer.
        """
        try:
            return self._feast.get_online_features(**question).proto
        except PlatformError:
            raise
        except Exception as error:
            # Each store has a driver, with errors of its own.
            raise StoreError(
                required="the online store that feature_store.yaml names to answer",
                found=" ".join(f"{type(error).__name__}: {error}".split()),
                remedy="see that it runs and is reached from here; until then questions by features are answered",
            ) from error  # fmt: skip

    @property
    def _text(self) -> str:
        return (Path(self.project.feature_repo) / "feature_store.yaml").read_text(encoding="utf-8")

    @cached_property
    def _feast(self) -> Any:
        return FeastDoor(self.home, self.project).store({})


def packed_view(project: Project, table: FeatureTable, feast_project: str) -> PackedView:
    """A feature table as our store packs it, equal to what Feast's view of it gives the plug-in.

    Args:
        project: Its declaration: a key's dtype is that of the raw column.
        table: The feature table.
        feast_project: Name in ``feature_store.yaml``.
    """
    raw = {column.name: column.dtype for column in project.raw_table(table.source).columns}
    return PackedView(
        name=f"{feast_project}_{table.name}",
        keys={key: packed_dtype(raw[key]) for key in table.keys},
        columns={column.name: packed_dtype(column.dtype) for column in table.columns},
        ttl=duration(table.ttl) if table.ttl else None,
    )


def _frame(columns: Mapping[str, Sequence[Any]], types: Mapping[str, pl.DataType]) -> pl.DataFrame:
    return pl.from_dicts([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
                         schema=dict(types))  # fmt: skip


_ARRIVES: dict[str, Any] = {"int8": pl.Int32}


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("val")
    if kind is None or kind == "null_val":
        return None
    found = getattr(value, kind)
    return found * 1_000_000 if kind == "unix_timestamp_val" else found


def _declared(table: str, column: Column, values: pl.Series) -> pl.Series:
    wanted = POLARS_TYPES[column.dtype]
    return (values if values.dtype == wanted else values.cast(wanted)).alias(f"{table}__{column.name}")
