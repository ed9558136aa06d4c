"""Fetching the features of chosen rows: a group of columns and a stretch of rows at a time."""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from mlops_platform.point_in_time.asked import ROW

# Where fewer than one row in this many is wanted, the reader is told which; else it decodes all of them.
_SPARSE = 8
_DEFAULT_WIDTH = 64.0


def gathered(
    frame: pl.LazyFrame, features: Mapping[str, str], rows: pl.Series, *,
    height: int, widths: Mapping[str, float], at_once: int,
) -> list[pl.Series]:  # fmt: skip
    """Return the values of a frame at given positions.

    Args:
        frame: The rows; they are read once for each group of columns and stretch of rows.
        features: Column -> name in the answer.
        rows: Positions (UInt32), in any order, repeated or null.
        height: How many rows the frame has.
        widths: Bytes of a value, by column; a column that is left out counts 64.
        at_once: Bytes that may be read at a time.

    Returns:
        A series for each of the features, under its name in the answer, as long as `rows`: null where the position is.
    """
    if not features:
        return []
    widths = {column: widths.get(column, _DEFAULT_WIDTH) for column in features}
    wanted = rows.drop_nulls().unique().sort()
    sparse = wanted.len() * _SPARSE < height
    groups = list(_groups(widths, at_once, wanted.len() if sparse else height))
    widest = max(sum(widths[column] for column in group) for group in groups)
    stretch = height if sparse else max(1, int(at_once / max(widest, 1)))
    whole = not sparse and stretch >= height
    place = rows if whole else _places(rows, wanted)
    found: list[pl.Series] = []
    for group in groups:
        named = [pl.col(column).alias(features[column]) for column in group]
        if whole:
            part = frame.select(named).collect(engine="in-memory")
        elif sparse:
            part = _sparse(frame, wanted, named)
        else:
            part = pl.concat(_stretches(frame, wanted, named, height, stretch))
        found += part.select(pl.all().gather(place)).get_columns()
    return found


def _groups(widths: Mapping[str, float], at_once: int, height: int) -> Iterator[list[str]]:
    group: list[str] = []
    room = float(at_once)
    for column, width in widths.items():
        if group and width * height > room:
            yield group
            group, room = [], float(at_once)
        group.append(column)
        room -= width * height
    yield group


def _places(rows: pl.Series, wanted: pl.Series) -> pl.Series:
    """Where each position stands among the distinct ones; null where it is null."""
    places = wanted.to_frame(ROW).with_row_index("place")
    return rows.to_frame(ROW).join(places, on=ROW, how="left", maintain_order="left")["place"]


def _sparse(frame: pl.LazyFrame, wanted: pl.Series, named: Sequence[pl.Expr]) -> pl.DataFrame:
    rows = frame.with_row_index(ROW).filter(
        pl.col(ROW).is_between(wanted.min(), wanted.max()) & pl.col(ROW).is_in(wanted.implode())
    )
    return rows.select(named).collect(engine="streaming")


def _stretches(
    frame: pl.LazyFrame, wanted: pl.Series, named: Sequence[pl.Expr], height: int, stretch: int
) -> Iterator[pl.DataFrame]:
    for start in range(0, height, stretch):
        mine = wanted.filter(wanted.is_between(start, start + stretch, closed="left")) - start
        if mine.len():
            rows = frame.slice(start, stretch).select(named).collect(engine="in-memory")
            yield rows.select(pl.all().gather(mine))
