"""From one example back to its raw rows."""

from collections.abc import Callable
from datetime import datetime, timedelta

import polars as pl

from mlops_platform.manifest import Manifest
from mlops_platform.provenance.feature_rows import SourceRows, by_file
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.spec import RawTable

_NEAR, _NOTHING = timedelta(days=2), timedelta(0)


def example_rows(home: Home, table: RawTable, raw: Manifest, function: Callable[[pl.LazyFrame], pl.LazyFrame],
                 identity: str, value: str, at: datetime, *, ahead: timedelta = _NOTHING) -> SourceRows:  # fmt: skip
    """All versions of the raw rows that an example was made from.

    The function may rename, drop and count, so the rows are found by halving: those of which each alone gives the
    example. An example may be about many rows, as an hour is about its flights.

    Args:
        home: Where the tables are.
        table: The raw table's declaration.
        raw: The raw table as it was read.
        function: Raw rows to examples.
        identity: Column of the example's id.
        value: The id.
        at: The example's event timestamp, UTC.
        ahead: How far beyond it the example looks, as a forecast does.
    """
    scan = DeltaDoor(home.root / raw.delta.path).scan(raw.delta.version)
    near = scan.filter(pl.col("event_timestamp").is_between(at - _NEAR, at + ahead + _NEAR)).collect()
    # Rows of one time lie together, so that few halves hold some of an example's rows and some of others.
    found = _giving(function, near.sort("event_timestamp", maintain_order=True), identity, value)
    versions = near.join(found.select(table.key), on=list(table.key), how="semi", nulls_equal=True)
    return SourceRows(table=table.name, version=raw.delta.version, files=by_file(versions, raw))


def _giving(function: Callable[[pl.LazyFrame], pl.LazyFrame], rows: pl.DataFrame, identity: str,
            value: str) -> pl.DataFrame:  # fmt: skip
    """The rows of which each alone gives the example."""
    if rows.is_empty():
        return rows
    given = function(rows.lazy()).filter(pl.col(identity) == value).select(identity).collect()
    if given.is_empty() or rows.height == 1:
        return rows.clear() if given.is_empty() else rows
    half = rows.height // 2
    return pl.concat([_giving(function, part, identity, value) for part in (rows.head(half), rows[half:])])
