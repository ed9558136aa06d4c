"""Declarations of tables: the raw rows that arrive and the features computed from them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mlops_platform.spec.fields import duration, require, require_name, require_reference

_LARGEST_FLOAT32 = 3.4028234663852886e38
DTYPES = ("int8", "int64", "float32", "float64", "string", "bool", "timestamp")


@dataclass(frozen=True, kw_only=True)
class Column:
    """One declared column.

    Attributes:
        name: Its name in the table.
        dtype: One of ``DTYPES``; timestamps are microseconds in UTC.
        nullable: Whether a null is valid.
        minimum, maximum: Inclusive bounds of a valid number.
        personal: Holds personal data, so it is subject to erasure (docs/adr/0007).
        if_missing: What an online answer does where a feature's row is missing or older than its view's ``ttl``:
            ``mark`` gives the model a null, as training did, and marks the answer; ``refuse`` refuses the row;
            ``default`` gives the model ``default``, and marks the answer.
        default: The value of ``default``, of the column's dtype and within its bounds; a timestamp has none.
    """

    name: str
    dtype: str
    nullable: bool = True
    minimum: float | None = None
    maximum: float | None = None
    personal: bool = False
    if_missing: Literal["mark", "refuse", "default"] = "mark"
    default: bool | int | float | str | None = None

    def __post_init__(self) -> None:
        require_name("Column.name", self.name)
        where = f"Column({self.name})"
        require(self.dtype in DTYPES, f"{where}.dtype", self.dtype, f"one of {', '.join(DTYPES)}",
                "choose a listed dtype")  # fmt: skip
        known = ("mark", "refuse", "default")
        require(self.if_missing in known, f"{where}.if_missing", self.if_missing, f"one of {', '.join(known)}",
                "choose one")  # fmt: skip
        told = (self.default is not None) == (self.if_missing == "default")
        require(told, f"{where}.default", self.default, 'a value where if_missing="default", and only there',
                "give both or neither")  # fmt: skip
        if self.default is not None:
            kind, fits = _DEFAULTS[self.dtype]
            require(fits(self.default), f"{where}.default", self.default, f"{kind}, for dtype {self.dtype}",
                    "give a value of the column's dtype")  # fmt: skip
            below = self.minimum is not None and self.default < self.minimum  # type: ignore[operator]
            above = self.maximum is not None and self.default > self.maximum  # type: ignore[operator]
            require(not below and not above, f"{where}.default", self.default,
                    f"from {self.minimum} to {self.maximum}, as the column's values", "give a valid value")  # fmt: skip


def _whole(bits: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)


def _number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


_DEFAULTS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "int8": ("a whole number from -128 to 127", _whole(8)), "int64": ("a whole number of 64 bits", _whole(64)),
    "float32": ("a finite number", lambda value: _number(value) and abs(value) <= _LARGEST_FLOAT32),  # type: ignore[arg-type]
    "float64": ("a finite number", _number), "string": ("a text", lambda value: isinstance(value, str)),
    "bool": ("True or False", lambda value: isinstance(value, bool)),
    "timestamp": ("none: mark or refuse a time that is not there", lambda value: False),
}  # fmt: skip
"""What a default of each dtype has to be, in words and as a test; a number's bool is none, though Python says so."""


def columns(dtype: str, *names: str, nullable: bool = True) -> tuple[Column, ...]:
    """Several columns of one dtype."""
    return tuple(Column(name=name, dtype=dtype, nullable=nullable) for name in names)


@dataclass(frozen=True, kw_only=True)
class RawTable:
    """An append-only table of ingested source rows.

    Attributes:
        name: Its name, which is also its folder in the landing.
        columns: The columns of a source file; other or missing columns quarantine the whole file.
        key: The columns that identify a fact; a later row of equal key is a correction, a new version of that fact.
        times: Function ``LazyFrame -> LazyFrame`` that adds ``event_timestamp`` and ``known_timestamp`` (UTC).
        perturb: Function ``(LazyFrame, datetime) -> LazyFrame``, given the rows known after a time, that changes every
            fact of theirs which became known after it, and leaves it unknown until then; the leak check uses it. None:
            whole rows are changed, corrected once more and taken away.
        freshness: How old the newest event may be against the project's newest before a check warns; None: never.
        retention: How long rows are kept; None: for ever.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    times: str
    perturb: str | None = None
    description: str = ""
    freshness: str | None = None
    retention: str | None = None

    def __post_init__(self) -> None:
        require_name("RawTable.name", self.name)
        require_reference(f"RawTable({self.name}).times", self.times)
        if self.perturb is not None:
            require_reference(f"RawTable({self.name}).perturb", self.perturb)
        names = [column.name for column in self.columns]
        require(len(set(names)) == len(names), f"RawTable({self.name}).columns", names, "names once each", "drop one")
        require(bool(self.key), f"RawTable({self.name}).key", self.key, "at least one column", "name the key")
        for part in self.key:
            require(part in names, f"RawTable({self.name}).key", part, f"one of {names}", "name a declared column")
        for name, value in (("freshness", self.freshness), ("retention", self.retention)):
            if value is not None:
                duration(value, name=f"RawTable({self.name}).{name}")


@dataclass(frozen=True, kw_only=True)
class FeatureTable:
    """A computed table and the Feast feature view over it.

    Attributes:
        name: Its name, equal to the feature view's.
        source: The raw table it is computed from.
        compute: Function ``LazyFrame -> LazyFrame``: raw rows in; keys, both timestamps and ``columns`` out.
        keys: Entity join keys; each is also a column of the raw table, so that ``why`` can walk back.
        columns: The feature columns.
        lookback: The longest span of raw rows before a feature row that it can depend on.
        window: The longest window of its statistics; a dataset's embargo must be at least as long.
        ttl: How old a feature row may be at the prediction time; None: no limit.
        highest_null_rate: Share of nulls in a column from which a check warns.
        partition: ``month``: computed month by month from the months that changed; ``whole``: as one piece.
    """

    name: str
    source: str
    compute: str
    keys: tuple[str, ...]
    columns: tuple[Column, ...]
    lookback: str | None = None
    window: str | None = None
    ttl: str | None = None
    highest_null_rate: float = 0.5
    partition: Literal["month", "whole"] = "month"
    description: str = ""

    def __post_init__(self) -> None:
        where = f"FeatureTable({self.name})"
        require_name("FeatureTable.name", self.name)
        require_reference(f"{where}.compute", self.compute)
        require(bool(self.columns), f"{where}.columns", self.columns, "at least one column", "name its features")
        rate = self.highest_null_rate
        require(0 <= rate <= 1, f"{where}.highest_null_rate", rate, "a share from 0 to 1", "0.5 is usual")
        for name in ("lookback", "window", "ttl"):
            if getattr(self, name) is not None:
                duration(getattr(self, name), name=f"{where}.{name}")
        if self.window is not None:
            long_enough = self.lookback is not None and duration(self.lookback) >= duration(self.window)
            require(long_enough, f"{where}.lookback", self.lookback, f"at least window={self.window}", "lengthen it")
