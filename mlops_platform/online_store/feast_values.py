"""Feast's protobuf values to columns and back."""

from collections.abc import Sequence
from typing import Any

import polars as pl
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import NULL_TIMESTAMP_INT_VALUE

from mlops_platform.errors import PlatformError
from mlops_platform.online_store.view import POLARS, PackedView

_DTYPES = {"INT32": "int32", "INT64": "int64", "FLOAT": "float32", "DOUBLE": "float64", "BOOL": "bool",
           "UNIX_TIMESTAMP": "timestamp", "STRING": "string", "BYTES": "bytes"}  # fmt: skip
_FIELDS = {"int32": "int32_val", "int64": "int64_val", "float32": "float_val", "float64": "double_val",
           "bool": "bool_val", "timestamp": "unix_timestamp_val", "string": "string_val",
           "bytes": "bytes_val"}  # fmt: skip
_SECOND = 1_000_000
_LAST = 2**63 // _SECOND - 1
"""Seconds of the epoch beyond which microseconds do not fit in 64 bits."""


def dtype_of(field: Any) -> str:
    """The packed dtype of a Feast field; lists, sets, maps and the like are kept as their protobuf."""
    return _DTYPES.get(field.dtype.to_value_type().name, "proto")


def column_of(view: PackedView, name: str, values: Sequence[Any]) -> pl.Series:
    """A column of N protobuf values; None, or a value that holds nothing, is null.

    Raises:
        PlatformError: A value is of another type than the view's field, or a timestamp beyond the year 290,000.
    """
    dtype = view.columns[name]
    if dtype == "proto":
        held = [None if _empty(value) else value.SerializeToString(deterministic=True) for value in values]
        return pl.Series(name, held, dtype=POLARS[dtype])
    field = _FIELDS[dtype]
    plain = [None if _empty(value) else getattr(value, _same(view, name, value, field)) for value in values]
    if dtype == "timestamp":
        seconds = [None if moment == NULL_TIMESTAMP_INT_VALUE else moment for moment in plain]
        for moment in seconds:
            if moment is not None and abs(moment) > _LAST:
                raise _refused(view, name, f"{moment} seconds since 1970")
        told = [None if moment is None else moment * _SECOND for moment in seconds]
        return pl.Series(name, told, dtype=pl.Int64).cast(POLARS[dtype])
    return pl.Series(name, plain, dtype=POLARS[dtype])


def values_of(dtype: str, column: pl.Series) -> list[Any]:
    """Protobuf values of a column, an empty one for each null; timestamps are cut to whole seconds, as Feast's are."""
    if dtype == "proto":
        return [_parsed(value) for value in column.to_list()]
    if dtype == "timestamp":
        column = column.to_physical() // _SECOND
    field = _FIELDS[dtype]
    return [Value() if value is None else Value(**{field: value}) for value in column.to_list()]


def _parsed(held: bytes | None) -> Any:
    value = Value()
    if held is not None:
        value.ParseFromString(held)
    return value


def _empty(value: Any) -> bool:
    return value is None or value.WhichOneof("val") in (None, "null_val")


def _same(view: PackedView, name: str, value: Any, field: str) -> str:
    found = value.WhichOneof("val")
    if found != field:
        raise _refused(view, name, found)
    return field


def _refused(view: PackedView, name: str, found: str) -> PlatformError:
    return PlatformError(
        required=f"values of {name} in view {view.name} as {view.columns[name]}", found=found,
        remedy="give the field of the feature view the type that its source has, and apply it",
    )  # fmt: skip
