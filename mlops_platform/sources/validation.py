"""What a source file must be: the declared columns, and rows that keep the declared rules.

The rules are dataframely's (https://github.com/Quantco/dataframely), whose filter tells the failing rows.
"""

from datetime import datetime

import dataframely as dy
import polars as pl

from mlops_platform.resources.delta import POLARS_TYPES
from mlops_platform.spec import Column, RawTable

ROW = "_row"
REASON = "reason"
_FOR_PEOPLE = {"nullability": "is null", "min": "is below its minimum", "max": "is above its maximum",
               "nan": "is not a number", "inf": "is infinite"}  # fmt: skip


class UnfitFileError(Exception):
    """A file that cannot be one of this table; the text is the reason put into quarantine."""


def fit_columns(frame: pl.DataFrame, table: RawTable) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Brings a file's columns to the declared types.

    Args:
        frame: The file's rows.
        table: Its declaration.

    Returns:
        The rows with the declared columns plus ``_row`` (Int64, from 0), and those rows, with a ``reason``, whose
        text could not be read as the number or time declared.

    Raises:
        UnfitFileError: A column is missing or unknown, or of a type that cannot be meant.
    """
    declared = {column.name: column for column in table.columns}
    missing, unknown = sorted(set(declared) - set(frame.columns)), sorted(set(frame.columns) - set(declared))
    if missing or unknown:
        said = [f"missing columns {', '.join(missing)}"] * bool(missing) + [
            f"unknown columns {', '.join(unknown)}"
        ] * bool(unknown)
        raise UnfitFileError(f"another schema: {'; '.join(said)}")
    problems = [_mistyped(column, frame.schema[column.name]) for column in table.columns]
    if any(problems):
        raise UnfitFileError("another schema: " + "; ".join(filter(None, problems)))
    numbered = frame.select(*declared).with_row_index(ROW).with_columns(pl.col(ROW).cast(pl.Int64))
    cast = numbered.with_columns(pl.col(c.name).cast(POLARS_TYPES[c.dtype], strict=False) for c in table.columns)
    lost = [(name, numbered[name].is_not_null() & cast[name].is_null()) for name in declared]
    reasons = [pl.when(mask).then(pl.lit(f"{name} is text, not {declared[name].dtype}")) for name, mask in lost]
    marked = numbered.with_columns(pl.concat_str(reasons, separator="; ", ignore_nulls=True).alias(REASON))
    bad = marked.filter(pl.col(REASON) != "")
    return cast.join(bad.select(ROW), on=ROW, how="anti", maintain_order="left"), bad


def _mistyped(column: Column, found: pl.DataType) -> str | None:
    wanted = POLARS_TYPES[column.dtype]
    said = f"{column.name} must be {column.dtype}, found {found}"
    if column.dtype == "timestamp":
        if not isinstance(found, pl.Datetime):
            return said
        return f"{column.name} must be a time in UTC, found a time in no time zone" if found.time_zone is None else None
    if found == pl.Null or (found == pl.String and wanted != pl.Boolean):
        return None
    fits = found == wanted or (found.is_integer() and wanted.is_numeric()) or (found.is_float() and wanted.is_float())
    return None if fits else said


def judge_rows(rows: pl.DataFrame, table: RawTable, now: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Divides rows into those that keep the rules and those that do not.

    Args:
        rows: Declared columns, ``_row``, ``event_timestamp`` and ``known_timestamp``.
        table: The declaration.
        now: A row known only later than this is from the future.

    Returns:
        The good rows, and the bad ones with a ``reason`` (text for people, one clause a broken rule).
    """
    good, failure = _schema(table, rows.schema).filter(rows)
    details = failure.details()
    rules = [name for name in details.columns if "|" in name]
    reasons = [pl.when(pl.col(rule) == "invalid").then(pl.lit(_for_people(rule))) for rule in rules]
    reason = pl.concat_str(reasons, separator="; ", ignore_nulls=True).alias(REASON)
    broken = details.select(*rows.columns, reason) if rules else rows.clear().with_columns(pl.lit("").alias(REASON))
    first = pl.col(ROW).min().over(*table.key)
    repeated = pl.format("repeats the key of row {} of this file", first)
    late = pl.lit("is known only in the future: ") + pl.col("known_timestamp").dt.to_string()
    kept = good.select(rows.columns).with_columns(
        pl.when(pl.col("known_timestamp") > now).then(late).when(pl.col(ROW) != first).then(repeated).alias(REASON)
    )
    bad = pl.concat([broken, kept.filter(pl.col(REASON).is_not_null())])
    return kept.filter(pl.col(REASON).is_null()).drop(REASON), bad


def _for_people(rule: str) -> str:
    column, _, name = rule.partition("|")
    return f"{column} {_FOR_PEOPLE.get(name, 'breaks the rule ' + name)}"


def _schema(table: RawTable, found: pl.Schema) -> type[dy.Schema]:
    fields: dict[str, object] = {column.name: _field(column, column.name in table.key) for column in table.columns}
    for name in ("event_timestamp", "known_timestamp"):
        fields[name] = dy.Datetime(nullable=False, time_unit="us", time_zone="UTC")
    fields |= {name: dy.Any() for name in found if name not in fields}
    return type("RawRows", (dy.Schema,), fields)


def _field(column: Column, key: bool) -> dy.Column:
    nullable = column.nullable and not key
    if column.dtype == "timestamp":
        return dy.Datetime(nullable=nullable, time_unit="us", time_zone="UTC")
    if column.dtype in ("string", "bool"):
        return dy.String(nullable=nullable) if column.dtype == "string" else dy.Bool(nullable=nullable)
    if column.dtype.startswith("int"):
        whole = dy.Int8 if column.dtype == "int8" else dy.Int64
        return whole(nullable=nullable, min=_whole(column.minimum), max=_whole(column.maximum))
    kind = dy.Float32 if column.dtype == "float32" else dy.Float64
    return kind(nullable=nullable, min=column.minimum, max=column.maximum)


def _whole(bound: float | None) -> int | None:
    return None if bound is None else int(bound)
