"""One Feast repository for every store: the same objects in the same registry, only ``offline_store`` differs.

Feast and pandas are imported where they are used, for their import is part of what is measured.
"""

import functools
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.retrieval.cells import Cell

STORES: dict[str, dict[str, Any]] = {
    "ours": {"type": "mlops_platform.point_in_time.feast_store.PolarsOfflineStore"},
    "ours-ignore": {
        "type": "mlops_platform.point_in_time.feast_store.PolarsOfflineStore",
        "known_time": "ignore",
    },
    "duckdb": {"type": "duckdb"},
    "dask": {"type": "dask"},
}
"""``ours`` as it comes, which respects known time; ``ours-ignore`` does what the other two do."""


def registry_path(home: Path, cell: Cell) -> Path:
    """Where a cell's registry lies."""
    return home / cell.files / f"registry-{cell.views}-{'ttl' if cell.ttl else 'always'}.db"


def apply(home: Path, cell: Cell) -> None:
    """Writes the registry, if it is not there."""
    if not registry_path(home, cell).exists():
        opened(home, cell, "ours", {}).apply(_objects(home, cell))


def opened(home: Path, cell: Cell, store: str, options: dict[str, Any]) -> Any:
    """The feature store, opened on the registry."""
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

    registry = registry_path(home, cell)
    config = RepoConfig(
        project="cells", provider="local", registry=str(registry), entity_key_serialization_version=3,
        offline_store=STORES[store] | (options if store.startswith("ours") else {}),
        online_store={"type": "sqlite", "path": str(registry.with_suffix(".online"))},
    )  # fmt: skip
    return FeatureStore(config=config)


def entity_rows(home: Path, cell: Cell, store: str) -> Any:
    """The entity rows in the frame that a store works on: polars for ours, pandas for the others."""
    import polars as pl

    from benchmarks.retrieval.data import entity_path

    if store.startswith("ours"):
        return pl.read_parquet(entity_path(home, cell))
    import pandas as pd

    return pd.read_parquet(entity_path(home, cell))


def job(store: Any, cell: Cell, entities: Any) -> tuple[Any, float]:
    """The retrieval job, and the seconds that Feast itself spent around the offline store's making of it."""
    from benchmarks.retrieval.data import KEY, feature_names

    offline = type(store._get_provider().offline_store)
    if not cell.entities:
        source = store.get_feature_view("view_0").batch_source
        return offline.pull_latest_from_table_or_query(
            config=store.config, data_source=source, join_key_columns=[KEY],
            feature_name_columns=feature_names(cell, 0), timestamp_field=source.timestamp_field,
            created_timestamp_column=source.created_timestamp_column,
            start_date=datetime(2024, 1, 1, tzinfo=UTC), end_date=datetime(2026, 1, 1, tzinfo=UTC),
        ), 0.0  # fmt: skip
    inner = _timed(offline)
    features = [f"view_{view}:{name}" for view in range(cell.views) for name in feature_names(cell, view)]
    begun = time.perf_counter()
    made = store.get_historical_features(entity_df=entities, features=features)
    return made, time.perf_counter() - begun - sum(inner)


def _timed(offline: Any) -> list[float]:
    original, spent = offline.get_historical_features, []

    @functools.wraps(original)
    def timed(*arguments: Any, **named: Any) -> Any:
        begun = time.perf_counter()
        try:
            return original(*arguments, **named)
        finally:
            spent.append(time.perf_counter() - begun)

    offline.get_historical_features = staticmethod(timed)
    return spent


def _objects(home: Path, cell: Cell) -> list[Any]:
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.types import Float32, Float64, Int64, String

    from benchmarks.retrieval.data import CREATED, KEY, TIME, TTL, feature_names, view_path

    entity = Entity(name=KEY, join_keys=[KEY], value_type=ValueType.STRING if cell.text_key else ValueType.INT64)
    objects: list[Any] = [entity]
    for view in range(cell.views):
        path = str(view_path(home, cell, view))
        source = FileSource(path=path, timestamp_field=TIME, created_timestamp_column=CREATED)
        schema = [Field(name=KEY, dtype=String if cell.text_key else Int64)]
        kind = Float32 if cell.small else Float64
        schema += [Field(name=name, dtype=kind) for name in feature_names(cell, view)]
        ttl = timedelta(microseconds=TTL if cell.ttl else 0)
        objects.append(FeatureView(name=f"view_{view}", entities=[entity], ttl=ttl, schema=schema, source=source))
    return objects
