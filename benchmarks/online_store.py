"""Reading features online, and writing them, beside Feast's sqlite store.

Claim: three views of ten float32 features are read to a ready matrix in 2 ms for 100 entities and in 12 ms for 1,000,
at the median, and written at 100,000 entity rows a second or more. The peer is Feast's sqlite store on the same rows,
its answer made into the same matrix; both stores are asked for Feast's protobuf answer too.
Measured: wall time in one process, medians over reads of entities drawn anew each time from a store of 20,000 (so that
pages are in memory, as on a machine that serves), one value in twenty null. A write is of frames for ours and of
Feast's rows for the peer, made beforehand: its own ``online_write_batch``, in batches of 1,000.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.tables import machine, table
from mlops_platform.online_store import PackedStore, PackedView
from mlops_platform.online_store.packed import FEAST_TYPE

VIEWS, COLUMNS, SIZES = ("one", "two", "three"), [f"f{i}" for i in range(10)], (1, 10, 100, 1000)
FEATURES = [f"{view}:{column}" for view in VIEWS for column in COLUMNS]
NOW = datetime.now(UTC).replace(microsecond=0)
TIME = pl.Datetime("us", "UTC")
LONGEST = {100: 2.0, 1000: 12.0}
"""Milliseconds."""
FEWEST = 100_000
"""Entity rows a second."""


def rows_of(entities: int, seed: int) -> pl.DataFrame:
    """Rows of one view, in no order."""
    random = np.random.default_rng(seed)
    values = {name: np.where(random.random(entities) < 0.05, np.nan, random.normal(size=entities)) for name in COLUMNS}
    frame = pl.DataFrame({name: pl.Series(value, dtype=pl.Float32, nan_to_null=True) for name, value in values.items()})
    keys = pl.Series("driver_id", random.permutation(entities))
    times = pl.repeat(NOW - timedelta(hours=1), entities, dtype=TIME, eager=True)
    return frame.with_columns(keys, times.alias("event_timestamp"), times.alias("known_timestamp"))


def feast_over(folder: Path, online: dict[str, Any]) -> Any:
    """Feast over an online store, three views applied; the store is called ``p``."""
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Float32

    folder.mkdir()
    config = RepoConfig(
        project="p", provider="local", registry=str(folder / "registry.db"), repo_path=folder, online_store=online,
        entity_key_serialization_version=3, offline_store={"type": "dask"},
    )  # fmt: skip
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    source = FileSource(name="s", path=str(folder / "s.parquet"), timestamp_field="event_timestamp")
    views = [
        FeatureView(name=name, entities=[driver], ttl=timedelta(days=7), source=source,
                    schema=[Field(name=column, dtype=Float32) for column in COLUMNS])
        for name in VIEWS
    ]  # fmt: skip
    store = FeatureStore(config=config)
    store.apply([driver, *views])
    return store


def feast_rows(rows: pl.DataFrame) -> list[Any]:
    """Rows as Feast hands them to a store."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    return [
        (
            EntityKey(join_keys=["driver_id"], entity_values=[Value(int64_val=row["driver_id"])]),
            {name: Value() if row[name] is None else Value(float_val=row[name]) for name in COLUMNS},
            row["event_timestamp"],
            row["known_timestamp"],
        )
        for row in rows.iter_rows(named=True)
    ]


def written(store: Any, frames: dict[str, pl.DataFrame]) -> float:
    """Seconds in which Feast's way of writing fills a store."""
    seconds = 0.0
    for name, frame in frames.items():
        rows, view = feast_rows(frame), store.get_feature_view(name)
        begin = time.perf_counter()
        for start in range(0, len(rows), 1000):
            store._get_provider().online_write_batch(store.config, view, rows[start : start + 1000], None)
        seconds += time.perf_counter() - begin
    return seconds


def matrix_of(answer: dict[str, list[Any]]) -> np.ndarray:
    """Feast's answer, as it is read by Python, as a matrix."""
    return np.array([answer[f"{view}__{c}"] for view in VIEWS for c in COLUMNS], np.float32).T


def median_ms(ask: Callable[[list[int]], Any], entities: int, size: int, repeat: int) -> float:
    """Median of reads of entities drawn anew."""
    random = np.random.default_rng(size)
    seconds = []
    for _ in range(repeat):
        drawn = random.choice(entities, size, replace=False).tolist()
        begin = time.perf_counter()
        ask(drawn)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds) * 1e3


def measure(entities: int, repeat: int, folder: Path) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Entity rows a second by way of writing, and median milliseconds of ``SIZES`` by way of reading."""
    frames = {name: rows_of(entities, seed) for seed, name in enumerate(VIEWS)}
    ours = feast_over(folder / "ours", {"type": FEAST_TYPE, "path": str(folder / "packed.db")})
    theirs = feast_over(folder / "theirs", {"type": "sqlite", "path": str(folder / "sqlite.db")})
    store = PackedStore(folder / "packed.db")
    packed = [
        PackedView(name=f"p_{name}", keys={"driver_id": "int64"}, columns=dict.fromkeys(COLUMNS, "float32"),
                   ttl=timedelta(days=7))
        for name in VIEWS
    ]  # fmt: skip
    rows = entities * len(VIEWS)
    through = rows / written(ours, frames)
    begin = time.perf_counter()
    for view, frame in zip(packed, frames.values(), strict=True):
        store.write(view, frame)
    speeds = {"ours": rows / (time.perf_counter() - begin), "ours, by Feast": through,
              "Feast's sqlite": rows / written(theirs, frames)}  # fmt: skip

    def columns(drawn: list[int]) -> np.ndarray:
        keys = pl.DataFrame({"driver_id": drawn})
        at = pl.repeat(NOW, len(drawn), dtype=TIME, eager=True)
        series = [column for view in packed for column in store.read(view, keys, at).values]
        matrix = np.empty((len(drawn), len(series)), np.float32)
        for place, column in enumerate(series):
            matrix[:, place] = column.to_numpy()
        return matrix

    def feast(of: Any) -> Callable[[list[int]], Any]:
        return lambda drawn: of.get_online_features(FEATURES, {"driver_id": drawn}, full_feature_names=True)

    ways: dict[str, Callable[[list[int]], Any]] = {
        "ours, to a matrix": columns,
        "Feast's sqlite, to a matrix": lambda drawn: matrix_of(feast(theirs)(drawn).to_dict()),
        "ours, Feast's protobuf": feast(ours),
        "Feast's sqlite, Feast's protobuf": feast(theirs),
    }
    drawn = list(range(0, entities, 7))[:500]
    assert np.array_equal(columns(drawn), matrix_of(feast(theirs)(drawn).to_dict()), equal_nan=True)
    took = {name: [median_ms(ask, entities, size, max(5, repeat // (1 + size // 100))) for size in SIZES]
            for name, ask in ways.items()}  # fmt: skip
    return speeds, took


def main() -> int:
    """Exit code 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.online_store", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--entities", type=int, default=20_000, help="entities of each view (20000)")
    parser.add_argument("--repeat", type=int, default=200, help="reads of one size, fewer of the large ones (200)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        speeds, took = measure(arguments.entities, arguments.repeat, Path(folder))
    print(machine())
    print(table(("median read, ms", *(f"{size:,}" for size in SIZES)),
                [(name, *(f"{ms:.2f}" for ms in of)) for name, of in took.items()]))  # fmt: skip
    print(table(("write", "entity rows a second"), [(name, f"{speed:,.0f}") for name, speed in speeds.items()]))
    ours = dict(zip(SIZES, took["ours, to a matrix"], strict=True))
    held = all(ours[size] <= limit for size, limit in LONGEST.items()) and speeds["ours"] >= FEWEST
    print(f"claims (100 entities in 2 ms, 1,000 in 12 ms, {FEWEST:,} rows a second): {'held' if held else 'MISSED'}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
