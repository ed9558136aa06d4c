"""Polars scripts as one would write them by hand for a cell: no Feast, event time and ttl only.

Each gives every entity row, in order, the features of each view. All are tried and the fastest counts. Those that trust
the order of a file use what they were told about it, which a store that was told nothing cannot.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from benchmarks.retrieval.cells import Cell
from benchmarks.retrieval.data import KEY, ROW, TIME, TTL, feature_names

_ET, _VK, _INDEX, _BOTH = "et", "vk", "index", "both"
_SPAN = 1 << 52  # more microseconds than any time here, so that key * span + time orders by key, then time
_PAIRS = 50_000_000


@dataclass(frozen=True)
class View:
    """What a script is given for one view: its file, the entity rows, its features, the cell."""

    scan: pl.LazyFrame
    entities: pl.LazyFrame
    features: list[str]
    cell: Cell

    def alive(self, frame: pl.LazyFrame, *, also: pl.Expr | None = None) -> pl.LazyFrame:
        """The features where the row that was met is young enough, in the order of the entity rows."""
        keep = pl.lit(True) if also is None else also
        if self.cell.ttl:
            keep = keep & (pl.col(_ET) >= pl.col(TIME) - pl.duration(microseconds=TTL))
        kept = frame if also is None and not self.cell.ttl else frame.with_columns(
            pl.when(keep).then(pl.col(name)) for name in self.features
        )  # fmt: skip
        return kept.sort(ROW).select(self.features)

    def met(self, view: pl.LazyFrame) -> pl.LazyFrame:
        """The entity rows with the newest row of their key."""
        return self.entities.sort(TIME).join_asof(
            view, left_on=TIME, right_on=_ET, by=KEY, check_sortedness=False, coalesce=False
        )


def asof(view: View) -> pl.LazyFrame:
    """Sort the view by time; one asof join by key."""
    return view.alive(view.met(_event(view.scan, view.features).sort(_ET)))


def few(view: View) -> pl.LazyFrame:
    """Rows of the keys asked for first; then as ``asof``."""
    wanted = view.entities.select(KEY).unique()
    rows = _event(view.scan, view.features).join(wanted, on=KEY, how="semi")
    return view.alive(view.met(rows.sort(_ET)))


def trusting(view: View) -> pl.LazyFrame:
    """The file has the rows of each key in order of time: one asof join by key, and no sort of the view."""
    return view.alive(view.met(_event(view.scan, view.features).set_sorted(_ET)))


def merging(view: View) -> pl.LazyFrame:
    """The file is sorted by key and time: both in one 128-bit number, one asof join of that without keys."""
    rows = _event(view.scan, view.features).rename({KEY: _VK})
    rows = rows.with_columns(_number(_VK, _ET)).set_sorted(_BOTH)
    asked = view.entities.with_columns(_number(KEY, TIME)).sort(_BOTH)
    return view.alive(asked.join_asof(rows, on=_BOTH), also=pl.col(_VK) == pl.col(KEY))


def narrow(view: View) -> pl.LazyFrame:
    """Sort and join keys, times and row numbers only; then take the features by number."""
    return _taken(view, view.scan, lambda rows: view.met(rows.sort(_ET)))


def few_narrow(view: View) -> pl.LazyFrame:
    """Rows of the keys asked for first; then as ``narrow``."""
    wanted = view.entities.select(KEY).unique()
    rows = view.scan.select(KEY, TIME, *view.features).join(wanted, on=KEY, how="semi", maintain_order="left")
    return _taken(view, rows, lambda found: view.met(found.sort(_ET)))


def few_pairs(view: View) -> pl.LazyFrame:
    """Rows of the keys asked for; each entity row paired with each row of its key; the newest by row number."""

    def paired(rows: pl.LazyFrame) -> pl.LazyFrame:
        pairs = view.entities.join(rows, on=KEY).filter(pl.col(_ET) <= pl.col(TIME))
        newest = pairs.group_by(ROW).agg(pl.col(_INDEX, _ET).get(pl.col(_ET).arg_max()))
        return view.entities.join(newest, on=ROW, how="left")

    wanted = view.entities.select(KEY).unique()
    rows = view.scan.select(KEY, TIME, *view.features).join(wanted, on=KEY, how="semi", maintain_order="left")
    return _taken(view, rows, paired)


def narrow_merging(view: View) -> pl.LazyFrame:
    """As ``merging``, on keys, times and row numbers only, which are sorted first."""

    def met(rows: pl.LazyFrame) -> pl.LazyFrame:
        ordered = rows.rename({KEY: _VK}).with_columns(_number(_VK, _ET)).sort(_BOTH)
        asked = view.entities.with_columns(_number(KEY, TIME)).sort(_BOTH)
        joined = asked.join_asof(ordered, on=_BOTH)
        return joined.with_columns(pl.when(pl.col(_VK) == pl.col(KEY)).then(pl.col(_INDEX)))

    return _taken(view, view.scan, met)


def newest_unique(view: View) -> pl.LazyFrame:
    """Sort by time, keep the last row of each key."""
    return view.scan.sort(TIME, "created").unique(KEY, keep="last")


def newest_narrow(view: View) -> pl.LazyFrame:
    """The row number of the newest time of each key; then the rows by number."""
    rows = view.scan.collect(engine="streaming")
    best = rows.lazy().select(KEY, TIME).with_row_index(_INDEX).group_by(KEY)
    found = best.agg(pl.col(_INDEX).get(pl.col(TIME).arg_max())).select(_INDEX).collect()
    return rows.select(pl.all().gather(found[_INDEX])).lazy()


def newest_grouped(view: View) -> pl.LazyFrame:
    """Group by key; of each column the value at the newest time."""
    return view.scan.group_by(KEY).agg(pl.all().get(pl.col(TIME).arg_max()))


Script = Callable[[View], pl.LazyFrame]
Engine = Literal["in-memory", "streaming"]
HISTORICAL: dict[str, Script] = {
    "asof": asof, "few": few, "narrow": narrow, "few-narrow": few_narrow, "few-pairs": few_pairs,
    "narrow-merging": narrow_merging, "trusting": trusting, "merging": merging,
}  # fmt: skip
LATEST: dict[str, Script] = {"unique": newest_unique, "narrow": newest_narrow, "grouped": newest_grouped}
TRUSTING = ("trusting", "merging")
"""These were told how the files are sorted."""


def fitting(cell: Cell) -> list[str]:
    """Names of the scripts to try for a cell, each with the engine that runs it."""
    if not cell.entities:
        names = list(LATEST)
    else:
        names = [name for name in HISTORICAL if name != "merging" or cell.by_key]
        if cell.text_key:
            names.remove("narrow-merging")
        if cell.entities * cell.per_key > _PAIRS:
            names.remove("few-pairs")
    return [f"{name}/{engine}" for name in names for engine in ("in-memory", "streaming")]


def answer(name: str, scans: list[pl.LazyFrame], entities: pl.DataFrame | None, cell: Cell) -> pl.DataFrame:
    """The answer of one script."""
    script, _, told = name.partition("/")
    engine: Engine = "streaming" if told == "streaming" else "in-memory"
    if entities is None:
        return LATEST[script](View(scans[0], pl.LazyFrame(), feature_names(cell, 0), cell)).collect(engine=engine)
    given = entities.lazy().select(KEY, TIME, ROW)
    plans = [
        HISTORICAL[script](View(scan, given, feature_names(cell, number), cell)) for number, scan in enumerate(scans)
    ]
    return pl.concat([entities, *pl.collect_all(plans, engine=engine)], how="horizontal")


def _event(scan: pl.LazyFrame, features: list[str]) -> pl.LazyFrame:
    return scan.select(KEY, pl.col(TIME).alias(_ET), *features)


def _number(key: str, time: str) -> pl.Expr:
    return (pl.col(key).cast(pl.Int128) * _SPAN + pl.col(time).to_physical()).alias(_BOTH)


def _taken(view: View, rows: pl.LazyFrame, join: Callable[[pl.LazyFrame], pl.LazyFrame]) -> pl.LazyFrame:
    """Rows in memory; the join on keys, times and row numbers; the features by number."""
    held = rows.select(KEY, TIME, *view.features).collect(engine="streaming")
    joined = join(_event(held.lazy(), []).with_row_index(_INDEX))
    if view.cell.ttl:
        young = pl.col(_ET) >= pl.col(TIME) - pl.duration(microseconds=TTL)
        joined = joined.with_columns(pl.when(young).then(pl.col(_INDEX)))
    found = joined.sort(ROW).select(_INDEX).collect()[_INDEX]
    return held.select(pl.col(view.features).gather(found)).lazy()
