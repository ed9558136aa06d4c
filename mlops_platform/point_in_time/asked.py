"""The entity rows as a join compares them: keys as codes, times as integers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import polars as pl

# Columns of what is compared: key number, position in a file or frame, and times in microseconds since 1970.
CODE, ROW, AT, EVENT, KNOWN = "__pit_code", "__pit_row", "__pit_at", "__pit_event", "__pit_known"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Keyed:
    """The distinct keys asked for, numbered in the order of the keys.

    Attributes:
        names: Names under which both sides hold the compared keys.
        codes: The distinct keys, in order, with their number `CODE` (UInt32); one row and no key without keys.
        rows: `CODE` and `AT` of the entity rows, sorted by both: code null, and first, where a key or the time is.
        place: Where each entity row stands in `rows`.
    """

    names: list[str]
    codes: pl.DataFrame
    rows: pl.DataFrame
    place: pl.Series

    @classmethod
    def of(cls, names: list[str], codes: pl.DataFrame, code: pl.Series, at: pl.Series) -> "Keyed":
        """Sort the entity rows, once for every view with these keys."""
        asked = pl.DataFrame([code.rename(CODE), at.rename(AT)]).with_row_index(ROW)
        asked = asked.with_columns(pl.when(pl.col(AT).is_not_null()).then(CODE)).sort(CODE, AT)
        order = asked.select(ROW).with_row_index("place").sort(ROW)
        return cls(names=names, codes=codes, rows=asked.select(CODE, AT), place=order["place"])


@dataclass(frozen=True)
class Asked:
    """Entity rows.

    Attributes:
        rows: The entity frame, its time column `Datetime("us", "UTC")`.
        at: Each row's time in microseconds since 1970, null where there is none.
    """

    rows: pl.DataFrame
    at: pl.Series
    _keyed: dict[tuple[tuple[str, str], ...], Keyed] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, rows: pl.DataFrame, event_timestamp: str) -> "Asked":
        """Take an entity frame whose time column is `Datetime("us", "UTC")`."""
        return cls(rows, rows[event_timestamp].to_physical())

    @property
    def earliest(self) -> datetime | None:
        """Earliest entity time, UTC, or None if no row has one that a datetime can hold."""
        return _moment(self.at.min())

    @property
    def latest(self) -> datetime | None:
        """Latest entity time, likewise."""
        return _moment(self.at.max())

    def keyed(self, types: Mapping[str, pl.DataType]) -> Keyed:
        """Number the distinct keys; views with the same keys share the work.

        Args:
            types: Key column of the entity frame -> type in which it is compared.
        """
        known = tuple((column, str(dtype)) for column, dtype in types.items())
        if known not in self._keyed:
            self._keyed[known] = self._number(types)
        return self._keyed[known]

    def _number(self, types: Mapping[str, pl.DataType]) -> Keyed:
        names = [f"__pit_key_{number}" for number in range(len(types))]
        if not names:
            one = pl.Series(CODE, [0], dtype=pl.UInt32)
            return Keyed.of(names, one.to_frame(), one.new_from_index(0, self.at.len()), self.at)
        keys = self.rows.select(
            as_key(pl.col(column), dtype).alias(name)
            for name, (column, dtype) in zip(names, types.items(), strict=True)
        )
        codes = keys.drop_nulls().unique().sort(names).with_row_index(CODE)
        code = keys.join(codes, on=names, how="left", maintain_order="left")[CODE]
        return Keyed.of(names, codes, code, self.at)


def as_key(key: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Return a key in the type in which it is compared; what does not fit it, and NaN, is null: it matches nothing."""
    key = key.cast(dtype, strict=False)
    return key.fill_nan(None) if dtype.is_float() else key


def _moment(microseconds: object) -> datetime | None:
    if not isinstance(microseconds, int):
        return None
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:  # before year 1 or after 9999: no bound that a datetime can say
        return None
