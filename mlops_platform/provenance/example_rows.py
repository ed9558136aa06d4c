"""From one example back to its raw rows."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from mlops_platform.manifest import Manifest
from mlops_platform.provenance.source_rows import SourceRows, by_file
from mlops_platform.resources.delta_files import TableFiles, collected, literal
from mlops_platform.resources.home import Home
from mlops_platform.spec import RawTable

_NEAR, _CLOSE, _NOTHING = timedelta(days=2), timedelta(hours=3), timedelta(0)
_FEW = 16
Function = Callable[[pl.LazyFrame], pl.LazyFrame]


def example_rows(home: Home, table: RawTable, raw: Manifest, function: Function, identity: str, value: str,
                 at: datetime, *, ahead: timedelta = _NOTHING,
                 keys: Mapping[str, Any] | None = None) -> SourceRows:  # fmt: skip
    """All versions of the raw rows that an example was made from.

    The function may rename, drop and count, so the rows are found by asking it: among those of the example's own keys,
    if no others give it, the shortest run in time that does; of a run of up to 16 rows, those of which each alone gives
    it. An example may be about many rows, as an hour is about its flights.

    Args:
        home: Where the tables are.
        table: The raw table's declaration.
        raw: The raw table as it was read.
        function: Raw rows to examples.
        identity: Column of the example's id.
        value: The id.
        at: The example's event timestamp, UTC.
        ahead: How far beyond it the example looks, as a forecast does.
        keys: Values of the example's columns that the raw table may have under the same names.
    """
    files = TableFiles.at(home.root / raw.delta.path, raw.delta.version)
    (near,) = collected([files.scan({"event_timestamp": (at - _NEAR, at + ahead + _NEAR)})], [files])
    # Rows of one time lie together, so that what gives the example is one run of them.
    ordered = near.sort("event_timestamp", maintain_order=True)
    asked = _Asked(function, ordered.schema, identity, value)
    found = _giving(asked, ordered, _likely(ordered, keys or {}, at, at + ahead))
    versions = near.join(found.select(table.key), on=list(table.key), how="semi", nulls_equal=True)
    return SourceRows(table=table.name, version=raw.delta.version, files=by_file(versions, raw))


class _Asked:
    """Whether rows give the example; the function's plan is built once where it reads nothing while it is built."""

    def __init__(self, function: Function, schema: pl.Schema, identity: str, value: str) -> None:
        self._function, self._identity, self._value = function, identity, value
        self._rows, self._reads = pl.DataFrame(schema=schema), 0
        source = register_io_source(self._read, schema=schema)
        self._plan = self._of(source)
        self._eager = self._reads > 0

    def gives(self, rows: pl.DataFrame) -> bool:
        if rows.is_empty():
            return False
        self._rows = rows
        plan = self._of(rows.lazy()) if self._eager else self._plan
        return bool(plan.collect(engine="in-memory").item())

    def _of(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        return self._function(rows).filter(pl.col(self._identity) == pl.lit(self._value)).select(pl.len() > 0)

    def _read(self, columns: list[str] | None, predicate: pl.Expr | None, most: int | None,
              _: int | None) -> Iterator[pl.DataFrame]:  # fmt: skip
        self._reads += 1
        rows = self._rows if most is None else self._rows.head(most)
        rows = rows if predicate is None else rows.filter(predicate)
        yield rows if columns is None else rows.select(columns)


def _likely(rows: pl.DataFrame, keys: Mapping[str, Any], first: datetime, last: datetime) -> Iterator[pl.Expr]:
    """Which rows the example is likely to be made from, the narrowest guess first."""
    equal = [pl.col(key).eq_missing(pl.lit(value, dtype=rows.schema[key])) for key, value in keys.items()
             if key in rows.columns]  # fmt: skip
    if equal:
        own = pl.all_horizontal(equal)
        at = pl.col("event_timestamp")
        for close in (_NOTHING, _CLOSE):
            yield own & (at >= literal(first - close)) & (at <= literal(last + close))
        yield own


def _giving(asked: _Asked, rows: pl.DataFrame, likely: Iterator[pl.Expr]) -> pl.DataFrame:
    """Of a guess that gives the example while no other row does, else of all rows: what gives it."""
    for guess in likely:
        mine = rows.filter(guess)
        if asked.gives(mine) and not asked.gives(rows.filter(~guess)):
            return _run(asked, mine)
    return _run(asked, rows) if asked.gives(rows) else rows.clear()


def _run(asked: _Asked, rows: pl.DataFrame) -> pl.DataFrame:
    """The shortest run of rows that give the example together; of a few rows, those that give it alone."""
    last = _first_place(lambda place: asked.gives(rows.head(place + 1)), rows.height)
    first = rows.height - 1 - _first_place(lambda place: asked.gives(rows.tail(place + 1)), rows.height)
    run = rows[min(first, last) : max(first, last) + 1]
    if run.height == 1:
        return run
    if run.height > _FEW:
        return run if run.height == rows.height or asked.gives(run) else rows
    alone = [row for row in run.iter_slices(1) if asked.gives(row)]
    return pl.concat(alone) if alone else run


def _first_place(holds: Callable[[int], bool], count: int) -> int:
    """The first of ``count`` places at which something holds that goes on to hold, as it does at the last one.

    Looked for by steps that double, since a narrow guess begins where it is.
    """
    low, high, step = 0, count - 1, 0
    while step < high and not holds(step):
        low, step = step + 1, 2 * step + 1
    high = min(high, step)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
