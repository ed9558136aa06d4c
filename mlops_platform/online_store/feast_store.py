"""Our online store as a plug-in of Feast.

In `feature_store.yaml`:

    online_store:
      type: mlops_platform.online_store.feast_store.PackedOnlineStore
      path: data/online.db
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from feast import Entity, FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel
from pydantic import StrictBool, StrictStr

from mlops_platform.errors import PlatformError
from mlops_platform.online_store.feast_values import column_of, dtype_of, values_of
from mlops_platform.online_store.packed import PackedStore
from mlops_platform.online_store.rows import columns_of, moments, pack, unpack_heads
from mlops_platform.online_store.view import PackedView

Row = tuple[Any, dict[str, Any], datetime, datetime | None]
Answer = tuple[datetime | None, dict[str, Any] | None]
_TIME = pl.Datetime("us", "UTC")


class PackedOnlineStoreConfig(FeastConfigBaseModel):
    """Settings of the store.

    Attributes:
        type: Selects the store.
        path: Its SQLite file; a relative one is in the repository's folder.
        enforce_ttl: Whether a row older than its view's ``ttl`` is answered as OUTSIDE_MAX_AGE, without its values.
            Off: it is answered as Feast's own stores do, as if it were fresh.
    """

    type: Literal["mlops_platform.online_store.feast_store.PackedOnlineStore"] = (
        "mlops_platform.online_store.feast_store.PackedOnlineStore"
    )
    path: StrictStr = "data/online.db"
    enforce_ttl: StrictBool = True


class PackedOnlineStore(OnlineStore):
    """Newest rows by entity key in one SQLite file; see ``mlops_platform.online_store``."""

    def __init__(self) -> None:
        """Opens nothing: Feast tells where the store is with each call."""
        self._stores: dict[Path, PackedStore] = {}

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        """Both, in a thread: a read takes less than a millisecond."""
        return SupportedAsyncMethods(read=True, write=True)

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Declares the views of the registry; one with other columns keeps its old rows until it is written again."""
        store = self._store(config)
        for table in tables_to_delete:
            store.drop(_view(config, table).name)
        for table in tables_to_keep:
            store.declare(_view(config, table))

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Forgets the views and their rows; a file that holds none any more is deleted."""
        store = self._store(config)
        for table in tables:
            store.drop(_view(config, table).name)
        store.delete_if_empty()

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: list[Row], progress: Callable[[int], Any] | None
    ) -> None:
        """Writes rows in one transaction; one older, by event and then created timestamp, than what is there, is not.

        Raises:
            PlatformError: A value is of another type than its field, or the view was applied with other fields.
        """
        view = _view(config, table)
        columns = {name: column_of(view, name, [values.get(name) for _, values, _, _ in data]) for name in view.columns}
        rows = pl.DataFrame(
            columns
            | {
                "event_timestamp": pl.Series([_utc(event) for _, _, event, _ in data], dtype=_TIME),
                "known_timestamp": pl.Series([_utc(created) for _, _, _, created in data], dtype=_TIME),
            }
        )
        self._store(config).write_packed(view, [_key(config, key) for key, _, _, _ in data], pack(view, rows))
        if progress:
            progress(len(data))

    async def online_write_batch_async(self, *given: Any, **named: Any) -> None:
        """Does what ``online_write_batch`` does with the same arguments, in a thread."""
        await asyncio.to_thread(self.online_write_batch, *given, **named)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[Any],
        requested_features: list[str] | None = None,
    ) -> list[Answer]:
        """Reads rows in one query, whatever their age: event timestamp (UTC) and values, or twice None."""
        view = _view(config, table)
        names = [name for name in requested_features or list(view.columns) if name in view.columns]
        keys = [_key(config, key) for key in entity_keys]
        found = self._store(config).read_packed(view, keys)
        rows = list(found.values())
        heads = unpack_heads(view, rows)
        events = moments("event", heads["event"], np.zeros(len(rows), bool)).to_list()
        columns = [values_of(view.columns[c.name], c) for c in columns_of(view, names, heads, rows)]
        values = (
            [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)] if names else [{}] * len(rows)
        )
        answers: Mapping[bytes, Answer] = dict(zip(found, zip(events, values, strict=True), strict=True))
        return [answers.get(key, (None, None)) for key in keys]

    async def online_read_async(self, *given: Any, **named: Any) -> list[Answer]:
        """Does what ``online_read`` does with the same arguments, in a thread."""
        return await asyncio.to_thread(self.online_read, *given, **named)

    def _read_features_per_fv(
        self, config: RepoConfig, grouped_refs: list[Any], join_key_values: dict[str, Any],
        entity_name_to_join_key_map: dict[str, str], online_features_response: Any, *rest: Any,
    ) -> None:  # fmt: skip
        """Reads as Feast does, then withholds what is older than its view's ttl."""
        before = len(online_features_response.results)
        super()._read_features_per_fv(
            config, grouped_refs, join_key_values, entity_name_to_join_key_map, online_features_response, *rest
        )
        _withhold(config, grouped_refs, online_features_response.results[before:])

    async def _read_features_per_fv_async(
        self, config: RepoConfig, grouped_refs: list[Any], join_key_values: dict[str, Any],
        entity_name_to_join_key_map: dict[str, str], online_features_response: Any, *rest: Any,
    ) -> None:  # fmt: skip
        """Does what ``_read_features_per_fv`` does, in threads."""
        before = len(online_features_response.results)
        await super()._read_features_per_fv_async(
            config, grouped_refs, join_key_values, entity_name_to_join_key_map, online_features_response, *rest
        )
        _withhold(config, grouped_refs, online_features_response.results[before:])

    def _store(self, config: RepoConfig) -> PackedStore:
        path = Path(config.online_store.path)
        if not path.is_absolute() and config.repo_path is not None:
            path = Path(config.repo_path) / path
        return self._stores.setdefault(path, PackedStore(path))


def _withhold(config: RepoConfig, grouped_refs: Sequence[tuple[Any, list[str]]], vectors: Sequence[Any]) -> None:
    """Marks values older than their view's ttl; Feast's own path never does (feast#4133).

    Args:
        config: Says whether it does.
        grouped_refs: Views, each with the features that are asked of it.
        vectors: One a feature, in that order.
    """
    if not config.online_store.enforce_ttl:
        return
    tables = [table for table, features in grouped_refs for _ in features]
    now = datetime.now(UTC)
    for table, vector in zip(tables, vectors, strict=True):
        ttl = getattr(table, "ttl", None)
        if not ttl:
            continue
        oldest = now - ttl
        for place, (moment, status) in enumerate(zip(vector.event_timestamps, vector.statuses, strict=True)):
            if status != FieldStatus.NOT_FOUND and moment.ToDatetime(UTC) < oldest:
                vector.values[place].CopyFrom(Value())
                vector.statuses[place] = FieldStatus.OUTSIDE_MAX_AGE


def _view(config: RepoConfig, table: FeatureView) -> PackedView:
    if config.registry.enable_online_feature_view_versioning:
        raise PlatformError(
            required="one version of each feature view to be online in the packed store",
            found="enable_online_feature_view_versioning in feature_store.yaml",
            remedy="leave that setting out, or bring features online in another store",
        )
    # Keys come from Feast as bytes here.
    return PackedView(name=f"{config.project}_{table.name}", keys={},
                      columns={field.name: dtype_of(field) for field in table.features})  # fmt: skip


def _key(config: RepoConfig, key: Any) -> bytes:
    return serialize_entity_key(key, entity_key_serialization_version=config.entity_key_serialization_version)


def _utc(moment: datetime | None) -> datetime | None:
    """Feast's timestamps without a zone are UTC."""
    if moment is None or moment.tzinfo is None:
        return moment if moment is None else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)
