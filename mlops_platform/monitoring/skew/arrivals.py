"""What an online store learns as time goes by: the rows of a feature table that became visible between two moments."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from mlops_platform.point_in_time import latest

EVENT, KNOWN = "event_timestamp", "known_timestamp"
_MOMENT, _RANK = "__moment", "__rank"


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """What is written of one feature table.

    Attributes:
        rows: Keys, features, ``event_timestamp`` and ``known_timestamp``, by the moment at which they are written.
        ends: For each moment, how many rows are written by then.
    """

    rows: pl.DataFrame
    ends: list[int]

    def at(self, moment: int) -> slice:
        """Places of the rows that are written at a moment."""
        return slice(self.ends[moment - 1] if moment else 0, self.ends[moment])


def arrivals(
    table: pl.LazyFrame, *, name: str, keys: Sequence[str], columns: Sequence[str], asked: pl.DataFrame,
    moments: pl.Series,
) -> Arrivals:  # fmt: skip
    """What is written of a feature table at each moment, so that the store then holds what was newest by then.

    A row is visible from the later of its event and its known time on. The newest of those that become visible between
    two moments is found as when a table is brought online; one that is older than what the store has by then, as a late
    correction of an earlier fact is, is not written.

    Args:
        table: The feature table at a version: it must give its rows alike each time that it is read.
        name: What it is called, for errors.
        keys: Its entity keys.
        columns: Its features.
        asked: Keys of the entities that will be asked for; rows of others are not read further.
        moments: When the store will be asked, Datetime us UTC, rising, each once.

    """
    wanted = asked.select(keys).unique().lazy()
    visible = pl.max_horizontal(EVENT, KNOWN)
    rows = (
        table.select(*keys, *columns, EVENT, KNOWN)
        .filter(visible <= moments[-1])
        .join(wanted, on=list(keys), how="semi", maintain_order="left")
        .with_columns(pl.lit(moments).search_sorted(visible, side="left").cast(pl.UInt32).alias(_MOMENT))
    )
    # At one version a table gives its rows alike each time: so keys and times are read first, a stretch at a time.
    found = latest(rows, name=name, keys=[_MOMENT, *keys], columns=list(columns), event_timestamp=EVENT,
                   known_timestamp=KNOWN, unchanged=lambda: True)  # fmt: skip
    ranked = found.collect().sort(EVENT, KNOWN, _MOMENT, nulls_last=False).with_row_index(_RANK)
    newest = ranked.sort(_MOMENT).filter(pl.col(_RANK) == pl.col(_RANK).cum_max().over(keys))
    ends = newest[_MOMENT].search_sorted(pl.int_range(len(moments), dtype=pl.UInt32, eager=True), side="right")
    return Arrivals(rows=newest.drop(_RANK, _MOMENT), ends=ends.to_list())
