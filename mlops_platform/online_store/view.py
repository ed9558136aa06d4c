"""What a view's rows are, as the online store packs them."""

import hashlib
import json
import struct
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy as np
import polars as pl

from mlops_platform.errors import PlatformError

LAYOUT = 1
"""Version of the layout of a packed row, part of every stamp."""
DTYPES = ("int32", "int64", "float32", "float64", "bool", "timestamp", "string", "bytes", "proto")
"""``timestamp``: microseconds in UTC; ``proto``: a value that has no dtype here, as the bytes of its protobuf."""
KEY_DTYPES = ("int32", "int64", "string", "bytes", "timestamp")
POLARS = {"int32": pl.Int32(), "int64": pl.Int64(), "float32": pl.Float32(), "float64": pl.Float64(),
          "bool": pl.Boolean(), "timestamp": pl.Datetime("us", "UTC"), "string": pl.String(), "bytes": pl.Binary(),
          "proto": pl.Binary()}  # fmt: skip
_FIXED = {"int32": "<i4", "int64": "<i8", "float32": "<f4", "float64": "<f8", "bool": "?", "timestamp": "<i8"}
_PLAIN = {"int32": "i", "int64": "q", "float32": "f", "float64": "d", "bool": "?", "timestamp": "q"}
_DECLARED = {"int8": "int32"}
"""Feast has no narrower number; a declaration's other dtypes are named alike."""


def packed_dtype(declared: str) -> str:
    """The dtype under which a declared column is packed, so that Feast's view of the same table is the same schema."""
    return _DECLARED.get(declared, declared)


@dataclass(frozen=True, kw_only=True)
class PackedView:
    """A view: its keys, its columns and how old its rows may be.

    Attributes:
        name: What tells it from the other views of the store, as Feast tells it: ``project_view``.
        keys: Dtype of each entity join key, of ``KEY_DTYPES``; none: one row for all.
        columns: Dtype of each feature, of ``DTYPES``; their order does not matter.
        ttl: How old a row may be at the time of a question, inclusive; None or zero: no limit.
    """

    name: str
    keys: dict[str, str]
    columns: dict[str, str]
    ttl: timedelta | None = None

    def __post_init__(self) -> None:
        for what, known, found in (("key", KEY_DTYPES, self.keys), ("column", DTYPES, self.columns)):
            for name, dtype in found.items():
                if dtype not in known:
                    raise PlatformError(
                        required=f"{what} {name} of view {self.name} to be one of {', '.join(known)}",
                        found=dtype, remedy="give it another type, or bring the view online in another store",
                    )  # fmt: skip

    @cached_property
    def fixed(self) -> tuple[str, ...]:
        """Columns whose values have one width, by name."""
        return tuple(sorted(name for name, dtype in self.columns.items() if dtype in _FIXED))

    @cached_property
    def variable(self) -> tuple[str, ...]:
        """Columns whose values have a length each, by name."""
        return tuple(sorted(name for name, dtype in self.columns.items() if dtype not in _FIXED))

    @cached_property
    def stamp(self) -> int:
        """64 bits that tell this schema from any other: of layout, names and dtypes of the columns."""
        schema = json.dumps([LAYOUT, sorted(self.columns.items())])
        return int.from_bytes(hashlib.sha256(schema.encode()).digest()[:8], "little")

    @cached_property
    def head(self) -> np.dtype:
        """The part of a row that is as wide for every row, little-endian where nothing else is said.

        Both timestamps are big-endian microseconds, raised by 2**63, so that bytes order rows as (event, known) does;
        a known timestamp of zero is none. Then the stamp, one bit a column where it is null (fixed columns first), the
        fixed values (zero under a null) and the lengths of the variable ones, whose bytes follow in the same order.
        """
        bits = (len(self.columns) + 7) // 8
        values = [(f"f{i}", _FIXED[self.columns[name]]) for i, name in enumerate(self.fixed)]
        lengths = [(f"v{i}", "<u4") for i in range(len(self.variable))]
        return np.dtype(
            [("event", ">u8"), ("known", ">u8"), ("stamp", "<u8"), ("nulls", "u1", (bits,)), *values, *lengths]
        )

    @cached_property
    def after_times(self) -> struct.Struct:
        """What follows both timestamps in ``head``, for one row: stamp, nulls, values, lengths."""
        bits = (len(self.columns) + 7) // 8
        values = "".join(_PLAIN[self.columns[name]] for name in self.fixed)
        return struct.Struct(f"<Q{bits}s{values}{len(self.variable)}I")

    @cached_property
    def described(self) -> str:
        """The schema in words, for an error."""
        return ", ".join(f"{name} {dtype}" for name, dtype in sorted(self.columns.items())) or "no columns"
