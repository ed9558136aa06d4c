"""Appending rows to the table behind a feature view."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote

import polars as pl
import pyarrow as pa
from deltalake import write_deltalake
from feast.infra.offline_stores.file_source import FileSource

from mlops_platform.point_in_time.arrow_output import to_plain_arrow
from mlops_platform.point_in_time.errors import PointInTimeError
from mlops_platform.point_in_time.feast_files import Place, new_file_name
from mlops_platform.point_in_time.feast_sources import OpenedTable, storage_options

_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


def append(table: OpenedTable, source: FileSource, rows: pa.Table) -> None:
    """Append rows, so that they count as later than all that is there.

    A Delta table gets a commit, a folder a new file, a partitioned (hive) folder a new file in each partition; a
    single Parquet file cannot grow, so it is written anew and replaced. Of a partitioned folder, files count by
    their path, so rows are later only than those of their own partition, and a reader may for a moment see some of
    the new files only: Delta does both better.

    Args:
        table: The opened source.
        source: The source itself.
        rows: The rows, with exactly the table's columns in its order; types are cast to the stored ones.

    Raises:
        PointInTimeError: (a ValueError) Other columns or another order; a value that does not fit the stored type;
            a source that names files by a pattern; a folder whose files are partitioned in several ways.
    """
    stored = table.frame.collect_schema()
    if rows.column_names == [(source.field_mapping or {}).get(name, name) for name in stored]:
        rows = rows.rename_columns(list(stored))  # Feast has applied the field mapping, which is for reading
    if list(stored) != rows.column_names:
        raise PointInTimeError(
            f"{table.path}: the rows have the columns {rows.column_names}; required, in this order, are "
            f"{list(stored)}. Reorder them, for example rows.select({list(stored)})."
        )
    plain = pl.DataFrame(schema=stored).to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    options = storage_options(source)
    if table.format == "delta":
        write_deltalake(table.location, _cast(rows, plain, table.path), mode="append", storage_options=options)
        return
    if "*" in table.location:
        raise PointInTimeError(
            f"{table.path}: required is a file, a folder or a Delta table to append to; found a pattern of names. Give "
            f"the source a folder."
        )
    place = Place(table.location, options)
    if not place.is_folder():
        before = place.read()
        place.write({"": pa.concat_tables([before, _cast(rows, before.schema, table.path)])})
        return
    files = place.parquet_files()
    own = place.schema(files[0])
    fields = [own.field(name) if name in own.names else plain.field(name) for name in rows.column_names]
    rows = _cast(rows, pa.schema(fields), table.path)
    folders = _partitions(files, table.path)
    if folders:
        place.write(split_by_partition(rows, list(folders), known=folders, kept=own.names))
    else:
        place.write({new_file_name(): rows})


def split_by_partition(
    rows: pa.Table,
    keys: Sequence[str],
    *,
    known: Mapping[str, Sequence[str]] | None = None,
    kept: Sequence[str] = (),
) -> dict[str, pa.Table]:
    """Return the files that a partitioned (hive) folder gets: one for each partition, `key=value/.../<new name>`.

    Args:
        rows: The rows, with the partition columns.
        keys: The partition columns, outermost first.
        known: Values already there, as folders spell them: a number in a known spelling (`month=03`) keeps it.
        kept: Partition columns that stay in the files too, since the files already there have them.
    """
    frame = pl.DataFrame(pl.from_arrow(rows))
    if not rows.num_rows:
        return {}
    names = [f"__pit_folder_{number}" for number in range(len(keys))]
    folders = [
        _folders(frame[key], (known or {}).get(key, ())).alias(name) for name, key in zip(names, keys, strict=True)
    ]
    groups = pl.DataFrame(folders).with_row_index("__pit_row").group_by(names, maintain_order=True).agg("__pit_row")
    left = [name for name in rows.column_names if name not in keys or name in kept]
    return {
        "/".join([*parts, new_file_name()]): rows.select(left).take(pa.array(places, type=pa.int64()))
        for *parts, places in groups.iter_rows()
    }


def _folders(values: pl.Series, known: Sequence[str]) -> pl.Series:
    texts = values.cast(pl.String).fill_null(_NULL_PARTITION)
    spelled = {str(int(text)): text for text in known if values.dtype.is_integer() and text.lstrip("-").isdigit()}
    key = quote(values.name, safe="")
    names = {text: f"{key}={quote(spelled.get(text, text), safe='')}" for text in texts.unique().to_list()}
    return texts.replace_strict(names, return_dtype=pl.String)


def _partitions(files: Sequence[str], where: str) -> dict[str, list[str]]:
    """Return the partition columns of a folder, outermost first, each with the values that its folders spell."""
    found: dict[str, list[str]] = {}
    ways = set()
    for file in files:
        parts = [part.partition("=") for part in file.split("/")[:-1] if "=" in part]
        ways.add(tuple(unquote(key) for key, _, _ in parts))
        for key, _, value in parts:
            found.setdefault(unquote(key), []).append(unquote(value))
    if len(ways) > 1:
        raise PointInTimeError(
            f"{where}: required is one way of partitioning; found files partitioned by {sorted(map(list, ways))}. "
            f"Bring them to one, or use a Delta table."
        )
    return found


def _cast(rows: pa.Table, schema: pa.Schema, where: str) -> pa.Table:
    columns = []
    for field in schema:
        try:
            columns.append(rows[field.name].cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as found:
            raise PointInTimeError(
                f"{where}: the column {field.name!r} of the rows is {rows.schema.field(field.name).type}; required is "
                f"{field.type}, as stored, and not every value fits: {found}. Convert it before writing."
            ) from found
    return pa.table(columns, names=schema.names).cast(schema)


def stored_types(table: OpenedTable) -> list[tuple[str, str]]:
    """Return the columns of a table with the names of their Arrow types, in the plain forms that Feast knows."""
    schema = to_plain_arrow(pl.DataFrame(schema=table.frame.collect_schema())).schema
    return [(field.name, str(field.type)) for field in schema]
