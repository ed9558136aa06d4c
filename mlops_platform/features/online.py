"""Bringing feature tables online."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from mlops_platform.errors import PlatformError
from mlops_platform.manifest import TableRef
from mlops_platform.point_in_time.pulls import latest
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.feast import FeastDoor
from mlops_platform.resources.online import OnlineDoor
from mlops_platform.spec import FeatureTable

COMPARED = 1000
"""Keys of each table for which both stores are asked, at most; of a store behind Feast, far slower, a twentieth."""


def bring_online(feast: FeastDoor, tables: Mapping[str, TableRef], digests: Mapping[str, str]) -> dict[str, Any]:
    """Writes the newest row of each key to the online store: straight into ours, through Feast into any other.

    Args:
        feast: The project's Feast.
        tables: The versions to read, by feature table.
        digests: Digest of each table.

    Returns:
        The time up to which each table's rows are online, ISO 8601 in UTC, their digests, and what the two stores
        answer differently for the keys that were compared.

    Raises:
        PlatformError: A table has no rows.
    """
    online = OnlineDoor(feast.home, feast.project)
    newest: dict[str, str] = {}
    different: dict[str, list[Any]] = {}
    for name, ref in sorted(tables.items()):
        table = feast.project.feature_table(name)
        times = DeltaDoor(feast.home.root / ref.path).scan(ref.version).select(
            first=pl.col("event_timestamp").min(), last=pl.col("event_timestamp").max()
        )  # fmt: skip
        first, last = times.collect().row(0)
        rows = newest_rows(feast, table, ref) if first is not None else pl.DataFrame()
        if rows.is_empty():
            raise PlatformError(
                required=f"rows in feature table {name}, to be brought online", found="none",
                remedy="see that its function gives rows for what its raw table holds",
            )  # fmt: skip
        if online.ours:
            online.write(table, rows)
        else:
            feast.materialize({name: ref}, first - timedelta(seconds=1), last)
        newest[name] = last.isoformat()
        different |= differing_values(online, table, rows)
    return {"newest": newest, "tables": dict(digests), "different": different}


def newest_rows(feast: FeastDoor, table: FeatureTable, ref: TableRef) -> pl.DataFrame:
    """The newest row of each key by (event, known), as a join as of the end of time would choose it.

    Returns:
        Keys, columns, ``event_timestamp`` and ``known_timestamp``, ordered by them; no key holds a null.
    """
    return latest(
        DeltaDoor(feast.home.root / ref.path).scan(ref.version), name=table.name, keys=table.keys,
        columns=[column.name for column in table.columns], event_timestamp="event_timestamp",
        # A version of a Delta table never changes.
        known_timestamp="known_timestamp", unchanged=lambda: True,
    ).collect()  # fmt: skip


def differing_values(online: OnlineDoor, table: FeatureTable, rows: pl.DataFrame) -> dict[str, list[Any]]:
    """Compares what the online store answers with the rows it was given, for at most ``COMPARED`` keys of them.

    Args:
        online: The store.
        table: The declaration.
        rows: Its newest rows, ordered by time; the last one is compared, and others spread over them.

    Returns:
        The first online and offline value that differ, as text, of each feature that does, by ``table:column``.
    """
    most = COMPARED if online.ours else COMPARED // 20
    sample = rows.reverse().gather_every(-(-rows.height // most))
    found = online.tables({table.name: table.columns}, sample)[table.name]
    different: dict[str, list[Any]] = {}
    for column, values in zip(table.columns, found.values, strict=True):
        wanted = sample[column.name]
        if column.dtype == "timestamp" and not online.ours:
            wanted = wanted.dt.truncate("1s")
        places = values.ne_missing(wanted.cast(values.dtype)).arg_true()
        if len(places):
            different[f"{table.name}:{column.name}"] = [_said(values[places[0]]), _said(wanted[places[0]])]
    return different


def _said(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else repr(value)
