"""Rows to bytes and back, by whole columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from mlops_platform.errors import PlatformError
from mlops_platform.online_store.view import POLARS, PackedView

BIAS = np.uint64(2**63)
_INTEGERS = (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16)
_TAKEN: dict[str, tuple[Any, ...]] = {
    "int32": _INTEGERS, "int64": (*_INTEGERS, pl.Int64, pl.UInt32), "float32": (pl.Float32,),
    "float64": (pl.Float64, pl.Float32), "bool": (pl.Boolean,), "timestamp": (pl.Datetime,), "bytes": (pl.Binary,),
    "string": (pl.String, pl.Categorical, pl.Enum), "proto": (pl.Binary,),
}  # fmt: skip
"""What each dtype takes, all of it without loss but nanoseconds, which are cut to microseconds."""


def pack(view: PackedView, rows: pl.DataFrame) -> list[bytes]:
    """Packs N rows.

    Args:
        view: Their schema.
        rows: Its columns, ``event_timestamp`` and ``known_timestamp`` (null: untold); timestamps without a zone
            are UTC.

    Raises:
        PlatformError: A column is missing, of a dtype that would not come back the same, or an event timestamp is null.
    """
    heads = np.zeros(rows.height, view.head)
    event, known = (_column(view, rows, name, "timestamp") for name in ("event_timestamp", "known_timestamp"))
    if event.null_count():
        raise PlatformError(required=f"an event timestamp in every row of view {view.name}",
                            found=f"{event.null_count()} without", remedy="leave them out")  # fmt: skip
    heads["event"] = _biased(event)
    heads["known"] = np.where(known.is_null().to_numpy(), 0, _biased(known))
    heads["stamp"] = view.stamp
    variable = []
    for place, name in enumerate((*view.fixed, *view.variable)):
        column = _column(view, rows, name, view.columns[name])
        if column.null_count():
            heads["nulls"][:, place // 8] |= column.is_null().to_numpy().astype(np.uint8) << np.uint8(place % 8)
        if name in view.fixed:
            heads[f"f{place}"] = _plain(column)
        else:
            filled = column.cast(pl.Binary).fill_null(b"")
            heads[f"v{place - len(view.fixed)}"] = filled.bin.size().to_numpy()
            variable.append(filled.to_list())
    whole, width = heads.tobytes(), view.head.itemsize
    fixed = [whole[start : start + width] for start in range(0, len(whole), width)]
    return [b"".join(parts) for parts in zip(fixed, *variable, strict=True)] if variable else fixed


def unpack_heads(view: PackedView, rows: Sequence[bytes]) -> np.ndarray:
    """The heads of N rows, as ``PackedView.head`` says.

    Raises:
        PlatformError: A row is of another schema, or not whole.
    """
    width = view.head.itemsize
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    alone = not view.variable
    fits = bool((lengths == width).all()) if alone else bool((lengths >= width).all())
    heads = np.frombuffer(b"".join(rows if alone else [row[:width] for row in rows]), view.head) if fits else None
    if heads is None or not (heads["stamp"] == view.stamp).all():
        raise PlatformError(
            required=f"rows of view {view.name} with {view.described}",
            found="rows that were written with other columns",
            remedy="bring the view online again after feast apply; a model that reads it must be of the same revision",
        )
    if not alone:
        told = sum((heads[f"v{i}"].astype(np.int64) for i in range(len(view.variable))), np.int64(width))
        if not (told == lengths).all():
            raise PlatformError(required=f"whole rows of view {view.name}", found="one of another length",
                                remedy="delete the online store and bring the features online again")  # fmt: skip
    return heads


def columns_of(view: PackedView, names: Sequence[str], heads: np.ndarray, rows: Sequence[bytes]) -> list[pl.Series]:
    """The named columns of M rows.

    Args:
        view: The schema.
        names: Which columns, in this order.
        heads: Their heads, in which a set bit of ``nulls`` counts whatever else is there.
        rows: The rows whole.
    """
    nulls = heads["nulls"]
    any_null = np.bitwise_or.reduce(nulls, axis=0) if len(heads) else np.zeros(nulls.shape[1], np.uint8)
    ends: np.ndarray | None = None
    found: list[pl.Series] = []
    for name in names:
        fixed = name in view.fixed
        place = view.fixed.index(name) if fixed else len(view.fixed) + view.variable.index(name)
        byte, bit = place // 8, 1 << place % 8
        missing = (nulls[:, byte] & bit).astype(bool) if any_null[byte] & bit else None
        if fixed:
            found.append(_series(name, view.columns[name], heads[f"f{place}"], missing))
            continue
        if ends is None:
            lengths = [heads[f"v{i}"].astype(np.int64) for i in range(len(view.variable))]
            ends = np.cumsum([np.full(len(heads), view.head.itemsize), *lengths], axis=0)
        at = place - len(view.fixed)
        values: list[bytes | None] = [row[s:e] for row, s, e in zip(rows, ends[at], ends[at + 1], strict=True)]
        if missing is not None:
            values = [None if gone else value for value, gone in zip(values, missing.tolist(), strict=True)]
        found.append(pl.Series(name, values, dtype=pl.Binary).cast(POLARS[view.columns[name]]))
    return found


def moments(name: str, biased: np.ndarray, gone: np.ndarray) -> pl.Series:
    """Timestamps from the heads; null where ``gone``."""
    return _series(name, "timestamp", (biased.astype("<u8") ^ BIAS).view(np.int64), gone if gone.any() else None)


def _series(name: str, dtype: str, values: np.ndarray, missing: np.ndarray | None) -> pl.Series:
    series = pl.Series(name, np.ascontiguousarray(values))
    if dtype == "timestamp":
        series = series.cast(POLARS[dtype])
    return series if missing is None else series.set(pl.Series(missing), None)


def _column(view: PackedView, rows: pl.DataFrame, name: str, dtype: str) -> pl.Series:
    found = rows[name] if name in rows.columns else None
    if found is None or not (found.dtype == pl.Null or found.dtype in _TAKEN[dtype]):
        raise PlatformError(
            required=f"column {name} of view {view.name} as {dtype}",
            found="no such column" if found is None else str(found.dtype),
            remedy="write the columns that the view declares, each of its dtype",
        )
    if isinstance(found.dtype, pl.Datetime) and found.dtype.time_zone is None:
        found = found.dt.replace_time_zone("UTC")
    return found.cast(POLARS[dtype])


def _plain(column: pl.Series) -> np.ndarray:
    if column.dtype == pl.Boolean:
        return column.fill_null(False).to_numpy()
    return (column.to_physical() if column.dtype.is_temporal() else column).fill_null(0).to_numpy()


def _biased(column: pl.Series) -> np.ndarray:
    return _plain(column).view(np.uint64) ^ BIAS
