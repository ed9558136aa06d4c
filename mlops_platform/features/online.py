"""Bringing feature tables online."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import polars as pl

from mlops_platform.errors import PlatformError
from mlops_platform.manifest import TableRef
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.feast import FeastDoor
from mlops_platform.spec import FeatureTable


def bring_online(feast: FeastDoor, tables: Mapping[str, TableRef], digests: Mapping[str, str]) -> dict[str, Any]:
    """Writes the newest row of each key to the online store.

    Args:
        feast: The project's Feast.
        tables: The versions to read, by feature table.
        digests: Digest of each table.

    Returns:
        The time up to which each table's rows are online, ISO 8601 in UTC, their digests, and what the two stores
        answer differently for the newest row of each table.

    Raises:
        PlatformError: A table has no rows.
    """
    newest: dict[str, str] = {}
    for name, table in sorted(tables.items()):
        times = DeltaDoor(feast.home.root / table.path).scan(table.version).select(
            first=pl.col("event_timestamp").min(), last=pl.col("event_timestamp").max()
        )  # fmt: skip
        first, last = times.collect().row(0)
        if first is None:
            raise PlatformError(
                required=f"rows in feature table {name}, to be brought online", found="none",
                remedy="see that its function gives rows for what its raw table holds",
            )  # fmt: skip
        feast.materialize({name: table}, first - timedelta(seconds=1), last)
        newest[name] = last.isoformat()
    declared = {feast.project.feature_table(name): ref for name, ref in tables.items()}
    return {"newest": newest, "tables": dict(digests), "different": differing_values(feast, declared)}


def differing_values(feast: FeastDoor, tables: Mapping[FeatureTable, TableRef]) -> dict[str, list[Any]]:
    """Compares, for the newest row of each table, what the online store answers for its key.

    Returns:
        The online and the offline value of each feature that differs, by ``table:column``.
    """
    store = feast.store({})
    different: dict[str, list[Any]] = {}
    for table, ref in tables.items():
        names = [column.name for column in table.columns]
        rows = DeltaDoor(feast.home.root / ref.path).scan(ref.version)
        keyed = rows.filter(pl.all_horizontal(pl.col(key).is_not_null() for key in table.keys))
        newest = keyed.sort("event_timestamp", "known_timestamp").tail(1).collect().row(0, named=True)
        answer = store.get_online_features(
            features=[f"{table.name}:{name}" for name in names], entity_rows=[{key: newest[key] for key in table.keys}]
        ).to_dict()
        different |= {f"{table.name}:{n}": [answer[n][0], newest[n]] for n in names if answer[n][0] != newest[n]}
    return different
