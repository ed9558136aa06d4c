"""Choosing, for each entity row, the newest candidate that was visible at its time.

A row is visible from `max(event, known)` on, and of the visible rows the one of highest rank wins, rank being the
order by (event, known, file order). Key code and time are put into one integer, so that a single search in one sorted
column answers: the rows are sorted by (code, visible from), and the running maximum of rank over them is, at each
place, the newest row visible there. The codes rise with the rows, so the running maximum never crosses to a lower key.
"""

from dataclasses import dataclass

import polars as pl

from mlops_platform.point_in_time.asked import CODE, EVENT, KNOWN, ROW

_PLACE, _INDEX, _RANK, _ENTITY = "__pit_place", "__pit_index", "__pit_rank", "__pit_entity"
_LATER = {name: f"{name}_later" for name in (ROW, EVENT, KNOWN)}
_EARLIEST, _MOST = -(2**63), 2**63 - 1
# Below this many, looking up unsorted needles costs less than sorting them.
_FEW = 20_000


def newest_visible(
    candidates: pl.DataFrame, *, code: pl.Series, at: pl.Series, codes: int, respect: bool
) -> pl.DataFrame:
    """Return for each entity row its candidate.

    Args:
        candidates: `ROW` (UInt32), `CODE` (UInt32), `EVENT` and `KNOWN` (Int64 microseconds; known may be null), in
            the order of the file.
        code: The number of each entity row's key (UInt32), null where nothing can match.
        at: The time of each entity row (Int64 microseconds), null where nothing can match.
        codes: How many numbers there are.
        respect: Whether a candidate is invisible before its known time.

    Returns:
        As many rows as asked, in their order: `ROW`, `EVENT`, `KNOWN` of the candidate, nulls where there is none.
    """
    if candidates.is_empty() or at.is_empty():
        return pl.DataFrame(schema={ROW: pl.UInt32, EVENT: pl.Int64, KNOWN: pl.Int64}).clear(at.len())
    respect = respect and candidates[KNOWN].null_count() < candidates.height
    places = _Places.of(candidates, codes, respect)
    ranked = _ranked(candidates, places)
    visible, best = _by_visibility(candidates, ranked) if respect else (ranked[_PLACE], None)
    asked = pl.lit(code).is_not_null() & pl.lit(at).is_not_null()
    needles = pl.select(pl.when(asked).then(places.at(pl.lit(code), pl.lit(at))).otherwise(-1)).to_series()
    found = _search(visible, needles)
    which = ranked[_INDEX].gather(found if best is None else best.gather(found))
    chosen = candidates.select(pl.col(ROW, CODE, EVENT, KNOWN).gather(which))
    mine = pl.col(CODE) == code
    return chosen.select(pl.when(mine).then(pl.col(name)).alias(name) for name in (ROW, EVENT, KNOWN))


def better(one: pl.DataFrame, later: pl.DataFrame) -> pl.DataFrame:
    """Return, row by row, the newer of two choices; the second is from later in the file, so it wins ties."""
    both = pl.concat([one, later.rename(_LATER.__getitem__)], how="horizontal")
    old = [pl.col(EVENT), pl.col(KNOWN).fill_null(_EARLIEST)]
    new = [pl.col(_LATER[EVENT]), pl.col(_LATER[KNOWN]).fill_null(_EARLIEST)]
    newer = (new[0] > old[0]) | ((new[0] == old[0]) & (new[1] >= old[1]))
    take = new[0].is_not_null() & (old[0].is_null() | newer)
    return both.select(pl.when(take).then(pl.col(_LATER[name])).otherwise(pl.col(name)).alias(name) for name in _LATER)


@dataclass(frozen=True, kw_only=True)
class _Places:
    """Code and time in one integer: `code * span + time since just before the first`, of 64 bits where they do."""

    first: int
    last: int
    dtype: type[pl.Int64] | type[pl.Int128]

    @classmethod
    def of(cls, candidates: pl.DataFrame, codes: int, respect: bool) -> "_Places":
        ends = candidates.select(first=pl.col(EVENT).min(), event=pl.col(EVENT).max(), known=pl.col(KNOWN).max())
        first, event, known = ends.row(0)
        last = max(event, known) if respect else event
        fits = codes * (last - first + 2) <= _MOST
        return cls(first=first, last=last, dtype=pl.Int64 if fits else pl.Int128)

    def at(self, code: pl.Expr, time: pl.Expr) -> pl.Expr:
        """The place of a time of a key; one before the first is that key's lowest, one after the last its highest."""
        first, span = pl.lit(self.first, dtype=self.dtype), pl.lit(self.last - self.first + 2, dtype=self.dtype)
        time = pl.min_horizontal(time, pl.lit(self.last, dtype=pl.Int64))
        since = pl.when(time >= self.first).then(time.cast(self.dtype) - first + 1).otherwise(pl.lit(0, self.dtype))
        return code.cast(self.dtype) * span + since


def _ranked(candidates: pl.DataFrame, places: _Places) -> pl.DataFrame:
    """Places, and which candidate each is of, by (code, event, known, file order): the last of a key is its newest."""
    rows = candidates.select(places.at(pl.col(CODE), pl.col(EVENT)).alias(_PLACE)).with_row_index(_INDEX)
    if not rows[_PLACE].is_sorted():
        rows = rows.sort(_PLACE, maintain_order=True)
    tied = pl.col(_PLACE) == pl.col(_PLACE).shift()
    if candidates[KNOWN].null_count() == candidates.height or not rows.select(tied.any()).item():
        return rows
    rows = rows.with_columns(candidates[KNOWN].gather(rows[_INDEX]).fill_null(_EARLIEST))
    if rows.select((tied & (pl.col(KNOWN) < pl.col(KNOWN).shift())).any()).item():
        rows = rows.sort(_PLACE, KNOWN, _INDEX)
    return rows.drop(KNOWN)


def _by_visibility(candidates: pl.DataFrame, ranked: pl.DataFrame) -> tuple[pl.Series, pl.Series | None]:
    """Places in the order of visibility, and the rank of the best row visible at each; None: places are ranks."""
    event, known = (pl.col(name).cast(ranked.schema[_PLACE]) for name in (EVENT, KNOWN))
    later = candidates.select(pl.when(known > event).then(known - event).otherwise(0)).to_series()
    visible = ranked.select(pl.col(_PLACE) + later.gather(ranked[_INDEX]))
    if visible[_PLACE].is_sorted():
        return visible[_PLACE], None
    visible = visible.with_row_index(_RANK).sort(_PLACE)
    return visible[_PLACE], visible[_RANK].cum_max()


def _search(places: pl.Series, needles: pl.Series) -> pl.Series:
    """For each needle the index of the last place that is not above it, or null; sorted needles are found fastest."""
    if needles.len() < _FEW or needles.is_sorted():
        return _before(places.search_sorted(needles, side="right"))
    wanted = needles.alias(_PLACE).to_frame().with_row_index(_ENTITY).sort(_PLACE)
    found = _before(places.search_sorted(wanted[_PLACE], side="right"))
    return wanted.select(_ENTITY, found.alias(_RANK)).sort(_ENTITY)[_RANK]


def _before(after: pl.Series) -> pl.Series:
    one = after.cast(pl.Int64) - 1
    return one.set(one < 0, None)
