"""One Feast repository of Parquet files, asked through our offline store and through Feast's own."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Int64

OURS = "mlops_platform.point_in_time.feast_store.PolarsOfflineStore"
T = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MICRO = timedelta(microseconds=1)
DRIVER = Entity(name="driver", join_keys=["k"], value_type=ValueType.INT64)
_UTC = pl.Datetime("us", "UTC")
Row = dict[str, Any]


def at(hours: float) -> datetime:
    """That many hours after T."""
    return T + hours * HOUR


def facts(*rows: Row) -> pl.DataFrame:
    """Feature rows of key 1, known when they are true, unless they say otherwise."""
    schema: dict[str, Any] = {"k": pl.Int64, "event": _UTC, "known": _UTC, "x": pl.Int64}
    return pl.DataFrame([{"k": 1, "known": row["event"], **row} for row in rows], schema=schema)


def questions(*rows: Row) -> pd.DataFrame:
    """Entity rows of key 1 at T, unless they say otherwise; `row` is their number."""
    schema: dict[str, Any] = {"k": pl.Int64, "event_timestamp": _UTC}
    frame = pl.DataFrame([{"k": 1, "event_timestamp": T, **row} for row in rows], schema=schema).to_pandas()
    keys = frame["k"].astype("Int64" if frame["k"].isna().any() else "int64")
    return frame.assign(row=range(len(rows)), k=keys)


def moments(*hours: float) -> pd.DataFrame:
    """Entity rows of key 1, that many hours after T."""
    return questions(*({"event_timestamp": at(hour)} for hour in hours))


def view_of(
    rows: pl.DataFrame, root: Path, *, name: str = "v", features: tuple[str, ...] = ("x",), keyed: bool = True,
    ttl: timedelta | None = None, created: str | None = "known", **source: Any,
) -> FeatureView:  # fmt: skip
    """A feature view over a Parquet file of these rows, below the repository."""
    path = root / f"{name}.parquet"
    rows.write_parquet(path)
    given = {"path": str(path), "timestamp_field": "event", "created_timestamp_column": created, **source}
    schema = [Field(name=field, dtype=Int64) for field in (*features, *(["k"] if keyed else []))]
    return FeatureView(
        name=name, source=FileSource(name=f"{name}_source", **given), schema=schema,
        entities=[DRIVER] if keyed else [], ttl=ttl,
    )  # fmt: skip


def open_store(root: Path, kind: str, *objects: Any, registry: str | None = None, **offline: Any) -> FeatureStore:
    """A store of this kind over the repository, with these objects applied; `registry` is the URL of an SQL one."""
    stem = kind.rsplit(".", 1)[-1]
    sql = {"registry_type": "sql", "path": registry}
    config = RepoConfig(
        project="p", provider="local", registry=sql if registry else str(root / f"{stem}.db"), repo_path=root,
        online_store={"type": "sqlite", "path": str(root / f"{stem}_online.db")}, entity_key_serialization_version=3,
        offline_store={"type": kind, **offline},
    )  # fmt: skip
    store = FeatureStore(config=config)
    store.apply([DRIVER, *objects])
    return store


def answers(store: FeatureStore, asked: Any, *, column: str = "x", **options: Any) -> dict[int, Any]:
    """What a store answers to each entity row, by number; a row that it drops is missing."""
    job = store.get_historical_features(entity_df=asked, **{"features": ["v:x"], **options})
    got = pl.DataFrame(pl.from_arrow(job.to_arrow()))
    return dict(got.select("row", column).sort("row").rows())


def pull(store: FeatureStore, view: FeatureView, kind: str, **options: Any) -> pl.DataFrame:
    """What `pull_latest_from_table_or_query` or `pull_all...` of a store gives of a view, ordered."""
    given = {
        "join_key_columns": ["k"], "feature_name_columns": ["x"], "timestamp_field": "event",
        "created_timestamp_column": "known", "start_date": at(-2), "end_date": T, **options,
    }  # fmt: skip
    offline = store._get_provider().offline_store
    ask = getattr(offline, f"pull_{kind}_from_table_or_query")
    got = pl.DataFrame(pl.from_arrow(ask(config=store.config, data_source=view.batch_source, **given).to_arrow()))
    return got.sort(got.columns)
