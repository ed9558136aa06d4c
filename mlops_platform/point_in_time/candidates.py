"""Reading the rows of a view that could answer: the keys asked for, in the range of times asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from mlops_platform.point_in_time.asked import AT, CODE, EVENT, KNOWN, ROW, Asked, Keyed, as_key
from mlops_platform.point_in_time.choosing import newest_visible
from mlops_platform.point_in_time.times import as_utc, in_utc, roughly_within
from mlops_platform.point_in_time.view_frame import ViewFrame, schema_of


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """What is needed to read a view's candidate rows.

    Attributes:
        view: The view.
        types: Key column of the entity frame -> type in which it is compared.
        asked: The entity rows.
        keyed: Their keys.
    """

    view: ViewFrame
    types: Mapping[str, pl.DataType]
    asked: Asked
    keyed: Keyed

    def read(
        self, *, features: bool, push_keys: bool = False, offset: int = 0, length: int | None = None
    ) -> pl.LazyFrame:
        """Return rows `offset` to `offset + length` of the view that could be candidates, in the order of the file.

        Args:
            features: Whether the features are read too.
            push_keys: Whether the reader is told the keys, so that it decodes other columns only where one matches.
            offset: First row.
            length: How many rows; None: all that follow.

        Returns:
            `ROW` (UInt32, position in the view), the keys, `EVENT` and `KNOWN` (Int64 microseconds), then the features.
        """
        view = self.view
        schema = schema_of(view.frame, where=f"view {view.name!r}")
        rows = view.frame.with_row_index(ROW)
        if offset or length is not None:
            rows = rows.slice(offset, length)
        rows = rows.filter(roughly_within(view.event_timestamp, schema[view.event_timestamp], *self._range()))
        if push_keys and (keep := self.pushed()) is not None:
            rows = rows.filter(keep)
        own = [pl.col(view.keys[column]) for column in self.types]
        return rows.select(
            ROW,
            *(
                as_key(key, dtype).alias(name)
                for key, dtype, name in zip(own, self.types.values(), self.keyed.names, strict=True)
            ),
            *self._times(schema),
            *((pl.col(column).alias(output) for column, output in view.features.items()) if features else ()),
        )

    def numbered(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Return the candidates among rows read: `ROW`, `CODE`, `EVENT`, `KNOWN`, in the order of the rows."""
        rows = rows.select(ROW, *self.keyed.names, EVENT, KNOWN).filter(self._visible_to_someone())
        if not self.keyed.names:
            return rows.with_columns(pl.lit(0, dtype=pl.UInt32).alias(CODE))
        # An inner join leaves out null keys, which equal nothing, and keys that nobody asked for.
        codes = self.keyed.codes.lazy()
        return rows.join(codes, on=self.keyed.names, how="inner", maintain_order="left").drop(self.keyed.names)

    def choose(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return each entity row's newest visible one of candidate rows; see `newest_visible`."""
        respect = self.view.known_timestamp is not None and self.view.known_time == "respect"
        asked, codes = self.keyed.rows, self.keyed.codes.height
        chosen = newest_visible(rows, code=asked[CODE], at=asked[AT], codes=codes, respect=respect)
        return chosen.select(pl.all().gather(self.keyed.place))

    def _range(self) -> tuple[datetime | None, datetime | None]:
        earliest, latest = self.asked.earliest, self.asked.latest
        if earliest is None or not self.view.ttl:
            return None, latest
        try:
            return in_utc(earliest) - self.view.ttl, latest
        except OverflowError:  # the ttl reaches back before year 1: everything is young enough
            return None, latest

    def _times(self, schema: pl.Schema) -> list[pl.Expr]:
        view, where = self.view, f"view {self.view.name!r}"
        event = as_utc(view.event_timestamp, schema[view.event_timestamp], where=where).to_physical()
        known = pl.lit(None, dtype=pl.Int64)
        if view.known_timestamp:
            known = as_utc(view.known_timestamp, schema[view.known_timestamp], where=where).to_physical()
        return [event.alias(EVENT), known.alias(KNOWN)]

    def _visible_to_someone(self) -> pl.Expr:
        latest = pl.lit(self.asked.at.max(), dtype=pl.Int64)  # null, if no row has a time: nothing is visible
        seen = pl.col(EVENT) <= latest
        if self.view.known_timestamp and self.view.known_time == "respect":
            seen = seen & (pl.col(KNOWN).is_null() | (pl.col(KNOWN) <= latest))
        return seen

    def pushed(self) -> pl.Expr | None:
        """Return a predicate on the stored key columns that every candidate fulfils; None if no key can be pushed.

        Integers of another width are told in the stored one, where those that do not fit it equal nothing.
        """
        view = self.view
        schema = schema_of(view.frame, where=f"view {view.name!r}")
        keep: pl.Expr | None = None
        for name, (column, dtype) in zip(self.keyed.names, self.types.items(), strict=True):
            stored = schema[view.keys[column]]
            if stored == dtype or (stored.is_integer() and dtype.is_integer()):
                keys = self.keyed.codes[name].unique().cast(stored, strict=False).drop_nulls()
                wanted = pl.col(view.keys[column]).is_in(keys.implode())
                keep = wanted if keep is None else keep & wanted
        return keep


def microseconds(ttl: timedelta | None) -> int | None:
    """Return a time to live in microseconds; None where there is no limit (none, zero, longer than all time)."""
    whole = ttl // timedelta(microseconds=1) if ttl else 0
    return whole if 0 < whole < 2**63 else None
