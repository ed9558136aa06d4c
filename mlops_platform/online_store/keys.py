"""Entity keys as bytes: Feast's entity key serialization, version 3, of whole columns and without Feast."""

import struct
from collections.abc import Mapping

import polars as pl

from mlops_platform.errors import PlatformError

_TYPES = {"bytes": 1, "string": 2, "int32": 3, "int64": 4, "timestamp": 8}
"""Numbers of Feast's value types."""
_NO_KEY = {"__dummy_id": "string"}
"""What Feast asks for a view without entities, and its only value."""


def key_bytes(keys: Mapping[str, str], rows: pl.DataFrame) -> list[bytes | None]:
    """The entity key of each row.

    Args:
        keys: Dtype of each join key.
        rows: N rows with a column for each of them.

    Returns:
        N keys; None where a part of it is null.

    Raises:
        PlatformError: A column is not there, or is of another kind than its key.
    """
    if not keys:
        keys, rows = _NO_KEY, pl.DataFrame({"__dummy_id": pl.repeat("", rows.height, dtype=pl.String, eager=True)})
    names = sorted(keys)
    encoded = [name.encode() for name in names]
    start = struct.pack("<I", len(names)) + b"".join(struct.pack("<II", 2, len(name)) + name for name in encoded)
    parts = [_values(keys[name], name, rows) for name in names]
    if len(parts) == 1:
        return [None if part is None else start + part for part in parts[0]]
    return [None if None in row else start + b"".join(row) for row in zip(*parts, strict=True)]


def _values(dtype: str, name: str, rows: pl.DataFrame) -> list[bytes | None]:
    column = _column(dtype, name, rows)
    if dtype in ("string", "bytes"):
        sized, kind = struct.Struct("<II").pack, _TYPES[dtype]
        values = column.to_list()
        if column.dtype == pl.String:
            values = [None if value is None else value.encode() for value in values]
        return [None if value is None else sized(kind, len(value)) + value for value in values]
    fixed = struct.Struct("<IIi" if dtype == "int32" else "<IIq")
    number, width = _TYPES[dtype], fixed.size - 8
    return [None if value is None else fixed.pack(number, width, value) for value in column.to_list()]


def _column(dtype: str, name: str, rows: pl.DataFrame) -> pl.Series:
    """A key's column as text, bytes or whole numbers; Feast's timestamps are whole seconds."""
    found = rows[name] if name in rows.columns else None
    if found is not None and found.dtype == pl.Null:
        return found.cast(pl.Binary if dtype in ("string", "bytes") else pl.Int64)
    if found is not None and dtype == "string" and found.dtype in (pl.String, pl.Categorical, pl.Enum):
        return found if found.dtype == pl.String else found.cast(pl.String)
    if found is not None and dtype == "bytes" and found.dtype == pl.Binary:
        return found
    if found is not None and dtype == "timestamp" and isinstance(found.dtype, pl.Datetime):
        return found.cast(pl.Datetime("us")).to_physical() // 1_000_000
    if found is not None and dtype in ("int32", "int64") and found.dtype.is_integer():
        low, high = (-(2**31), 2**31 - 1) if dtype == "int32" else (-(2**63), 2**63 - 1)
        if found.null_count() == len(found) or (int(found.min()) >= low and int(found.max()) <= high):  # type: ignore[arg-type]
            return found
    raise PlatformError(
        required=f"entity key {name} as a column of {dtype}",
        found="no such column" if found is None else f"{found.dtype} from {found.min()!r} to {found.max()!r}",
        remedy="give the entity keys of the model, each of its declared dtype",
    )
