"""Bringing feature tables online: only those whose rows changed."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import polars as pl

from mlops_platform.manifest import TableRef
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.feast import FeastDoor


def bring_online(feast: FeastDoor, tables: Mapping[str, TableRef], digests: Mapping[str, str]) -> dict[str, Any]:
    """Writes the newest row of each key to the online store.

    Args:
        feast: The project's Feast.
        tables: The versions to read, by feature table.
        digests: Digest of each table.

    Returns:
        The time up to which each table's rows are online, ISO 8601 in UTC, and their digests.
    """
    newest: dict[str, str] = {}
    for name, table in sorted(tables.items()):
        times = DeltaDoor(feast.home.root / table.path).scan(table.version).select(
            first=pl.col("event_timestamp").min(), last=pl.col("event_timestamp").max()
        )  # fmt: skip
        first, last = times.collect().row(0)
        feast.materialize({name: table}, first - timedelta(seconds=1), last)
        newest[name] = last.isoformat()
    return {"newest": newest, "tables": dict(digests)}
