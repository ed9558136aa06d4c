"""A real Feast repository in a temporary folder, for the tests of the offline store."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

STORE = "mlops_platform.point_in_time.feast_store.PolarsOfflineStore"
T = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def stats_rows() -> pl.DataFrame:
    """Feature rows: driver 1 twice, the second known only an hour after T; driver 2 with nulls; a null key."""
    return pl.DataFrame(
        {
            "driver_id": [1, 1, 2, None],
            "event": [T - 2 * HOUR, T - HOUR, T - HOUR, T - HOUR],
            "known": [T - 2 * HOUR, T + HOUR, None, None],
            "trips": [1, 2, None, 4],
            "src_name": ["a", "b", "c", "d"],
            "rate": pl.Series([0.5, 1.5, 2.5, 3.5], dtype=pl.Float32),
            "tags": [["x"], [], None, ["y", "z"]],
            "seen": [T.replace(tzinfo=None)] * 4,
        }
    )


@pytest.fixture
def stats() -> "Callable[..., FeatureView]":
    """Makes a feature view over the stats: a Delta table, or Parquet if `delta` is false or the path says so."""
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.data_format import DeltaFormat
    from feast.types import Array, Float32, Int64, String, UnixTimestamp

    types: dict[str, Any] = {"driver_id": Int64, "trips": Int64, "name": String, "rate": Float32, "tags": Array(String)}
    types |= {"seen": UnixTimestamp}
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)

    def view(
        path: str = "data/stats", *, name: str = "stats", delta: bool = True, lost: bool = False, keyed: bool = True,
        ttl: timedelta | None = timedelta(days=3),
    ) -> FeatureView:  # fmt: skip
        source = FileSource(
            name=f"{name}_source", path=path, timestamp_field="event", created_timestamp_column="known",
            field_mapping={"src_name": "name"},
            file_format=DeltaFormat() if delta and not path.endswith(".parquet") else None,
        )  # fmt: skip
        fields = (types | {"lost": Int64}) if lost else types
        schema = [Field(name=field, dtype=dtype) for field, dtype in fields.items() if keyed or field != "driver_id"]
        return FeatureView(name=name, source=source, schema=schema, entities=[driver] if keyed else [], ttl=ttl)

    return view


@pytest.fixture
def open_store(tmp_path: Path, stats_rows: pl.DataFrame) -> "Callable[..., FeatureStore]":
    """Opens a store over `tmp_path`, with the stats as a Delta table and a Parquet file in it; applies what it gets."""
    from feast import Entity, FeatureStore, RepoConfig, ValueType

    data = tmp_path / "data"
    data.mkdir()
    stats_rows.write_delta(data / "stats")
    stats_rows.write_parquet(data / "stats.parquet")

    def open_(*objects: Any, versioned: bool = False, **offline: Any) -> FeatureStore:
        registry = {"path": str(data / "registry.db"), "enable_online_feature_view_versioning": versioned}
        config = RepoConfig(
            project="p", provider="local", registry=registry, repo_path=tmp_path,
            online_store={"type": "sqlite", "path": str(data / "online.db")}, entity_key_serialization_version=3,
            offline_store={"type": STORE, **offline},
        )  # fmt: skip
        store = FeatureStore(config=config)
        if objects:
            driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
            store.apply([driver, *objects])
        return store

    return open_


@pytest.fixture
def ask() -> Callable[..., Any]:
    """Asks a store for features of drivers 2, 1, 9, 1 at T and 1 an hour later; returns the job."""

    def job(store: "FeatureStore", asked: Any = None, **options: Any) -> Any:
        default = pl.DataFrame({"driver_id": [2, 1, 9, 1, 1], "event_timestamp": [T, T, T, T, T + HOUR]})
        given = {"features": ["stats:trips", "stats:name"], **options}
        return store.get_historical_features(default.to_pandas() if asked is None else asked, **given)

    return job
