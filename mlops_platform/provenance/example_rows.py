"""From one example back to its raw row."""

from collections.abc import Callable
from datetime import datetime, timedelta

import polars as pl

from mlops_platform.manifest import Manifest
from mlops_platform.provenance.feature_rows import SourceRows, by_file
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.spec import RawTable

_NEAR = timedelta(days=2)


def example_rows(home: Home, table: RawTable, raw: Manifest, function: Callable[[pl.LazyFrame], pl.LazyFrame],
                 identity: str, value: str, at: datetime) -> SourceRows:  # fmt: skip
    """All versions of the raw row that an example was made from.

    The function may rename and drop columns, so the row is found by halving: whichever half of the rows still gives
    the example holds its row.

    Args:
        home: Where the tables are.
        table: The raw table's declaration.
        raw: The raw table as it was read.
        function: Raw rows to examples.
        identity: Column of the example's id.
        value: The id.
        at: The example's event timestamp, UTC.
    """
    scan = DeltaDoor(home.root / raw.delta.path).scan(raw.delta.version)
    rows = scan.filter(pl.col("event_timestamp").is_between(at - _NEAR, at + _NEAR)).collect()
    near = rows
    while rows.height > 1:
        half = rows.head(rows.height // 2)
        rows = half if _gives(function, half, identity, value) else rows.tail(rows.height - half.height)
    found = rows if _gives(function, rows, identity, value) else rows.clear()
    versions = near.join(found.select(table.key), on=list(table.key), how="semi", nulls_equal=True)
    return SourceRows(table=table.name, version=raw.delta.version, files=by_file(versions, raw))


def _gives(function: Callable[[pl.LazyFrame], pl.LazyFrame], rows: pl.DataFrame, identity: str, value: str) -> bool:
    return not function(rows.lazy()).filter(pl.col(identity) == value).select(identity).collect().is_empty()
