"""Appending rows to the table behind a feature view."""

import os
import time
import uuid
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import write_deltalake
from feast.infra.offline_stores.file_source import FileSource

from mlops_platform.point_in_time.arrow_output import to_plain_arrow
from mlops_platform.point_in_time.errors import PointInTimeError
from mlops_platform.point_in_time.feast_sources import OpenedTable, storage_options


def append(table: OpenedTable, source: FileSource, rows: pa.Table) -> None:
    """Append rows, so that they count as later than all that is there.

    A Delta table gets a commit, a flat folder a new file; a single Parquet file cannot grow, so it is written anew
    beside itself and renamed.

    Args:
        table: The opened source.
        source: The source itself.
        rows: The rows, with exactly the table's columns in its order; types are cast to the stored ones.

    Raises:
        PointInTimeError: (a ValueError) Other columns or another order; a partitioned or remote Parquet folder.
        pyarrow.ArrowInvalid: A value does not fit the stored type.
    """
    stored = table.frame.collect_schema()
    if list(stored) != rows.column_names:
        raise PointInTimeError(
            f"{table.path}: the rows have the columns {rows.column_names}; required, in this order, are "
            f"{list(stored)}. Reorder them, for example rows.select({list(stored)})."
        )
    target = Path(table.location)
    if table.format == "delta":
        write_deltalake(table.location, rows, mode="append", storage_options=storage_options(source))
    elif "://" in table.location or any(path.is_dir() for path in target.glob("*")):
        raise PointInTimeError(
            f"{table.path}: appending to a remote or partitioned folder of Parquet is not built. Use a Delta table."
        )
    elif target.is_dir():
        first = next(iter(sorted(target.rglob("*.parquet"))))
        # Files are read in the order of their names: "zz" and the clock put the new one last.
        _write(rows.cast(pq.read_schema(first)), target / f"zz-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.parquet")
    else:
        _write(pa.concat_tables([before := pq.read_table(target), rows.cast(before.schema)]), target)


def _write(rows: pa.Table, target: Path) -> None:
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    pq.write_table(rows, draft)
    os.replace(draft, target)


def stored_types(table: OpenedTable) -> list[tuple[str, str]]:
    """Return the columns of a table with the names of their Arrow types, in the plain forms that Feast knows."""
    schema = to_plain_arrow(pl.DataFrame(schema=table.frame.collect_schema())).schema
    return [(field.name, str(field.type)) for field in schema]
