"""Why a live answer was told otherwise than the feature tables say: late, missing, stale, early or wrong."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from mlops_platform.monitoring.skew.arrivals import EVENT, KNOWN
from mlops_platform.monitoring.skew.compare import compare

LATE, MISSING, STALE, EARLY, WRONG = "late", "missing", "stale", "early", "wrong"
CLASSES = (LATE, MISSING, STALE, EARLY, WRONG)
"""``late``: the row was an older version of what was known by then. ``missing``: none was online, though one was known.
``stale``: the ttl was judged otherwise, or the row online was too old while a newer one was known. ``early``: the row
was known only later. ``wrong``: the table has no row of these two times with this value."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """The row of one table that one live answer used.

    Attributes:
        place: Of the answer in the sample.
        keys: Values of the entity keys.
        at: Time of the question.
        event, known: Of the row; None where there was none, or its known timestamp was not told.
        status: As logged.
        values: Of the features that differ, by column.
    """

    place: int
    keys: tuple[Any, ...]
    at: datetime
    event: datetime | None
    known: datetime | None
    status: str
    values: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One value that was told otherwise.

    Attributes:
        place: Of the answer in the sample.
        column: Of the feature table.
        kind: One of ``CLASSES``.
        lag: Of ``late``: for how long a newer row had been known.
    """

    place: int
    column: str
    kind: str
    lag: timedelta | None = None


def classified(told: Sequence[Told], table: pl.LazyFrame, keys: Sequence[str]) -> Iterator[Difference]:
    """Classes of the values that differ.

    Args:
        told: Rows of one table that live answers used, those of which a value differs.
        table: The feature table as it is now, every version of each row among them.
        keys: Its entity keys.
    """
    seen = [each for each in told if each.event is not None and each.status not in (MISSING, STALE)]
    versions = _versions(seen, table, keys)
    for each in told:
        if each.status in (MISSING, STALE) or each.event is None:
            kind = STALE if each.status == STALE else MISSING
            yield from (Difference(place=each.place, column=column, kind=kind) for column in each.values)
        else:
            own = versions.get(each.keys)
            yield from (_of_row(each, column, value, own) for column, value in each.values.items())


def _versions(seen: Sequence[Told], table: pl.LazyFrame, keys: Sequence[str]) -> dict[tuple[Any, ...], pl.DataFrame]:
    """Rows of the entities that were asked for, from the oldest row that was online on, by entity."""
    if not seen:
        return {}
    schema = table.collect_schema()
    asked = pl.LazyFrame([each.keys for each in seen], schema={key: schema[key] for key in keys}, orient="row").unique()
    oldest = min(each.event for each in seen if each.event is not None)
    rows = table.filter(pl.col(EVENT) >= oldest).join(asked, on=list(keys), how="semi").collect()
    return rows.partition_by(list(keys), as_dict=True)


def _of_row(told: Told, column: str, value: Any, versions: pl.DataFrame | None) -> Difference:
    assert told.event is not None
    if versions is None:
        return Difference(place=told.place, column=column, kind=WRONG)
    same = versions.filter(pl.col(EVENT) == told.event, _known_is(told.known))
    kept = compare(pl.Series([value], dtype=same.schema[column]).new_from_index(0, same.height), same[column])
    if kept.mismatched == same.height:
        return Difference(place=told.place, column=column, kind=WRONG)
    visible = pl.max_horizontal(EVENT, KNOWN)
    if max(told.event, told.known or told.event) > told.at:
        return Difference(place=told.place, column=column, kind=EARLY)
    newer = (pl.col(EVENT) > told.event) | ((pl.col(EVENT) == told.event) & _known_after(told.known))
    since: datetime | None = versions.filter(newer).select(visible.min()).item()
    if since is None or since > told.at:
        return Difference(place=told.place, column=column, kind=STALE)
    return Difference(place=told.place, column=column, kind=LATE, lag=told.at - since)


def _known_is(known: datetime | None) -> pl.Expr:
    return pl.lit(True) if known is None else pl.col(KNOWN) == known


def _known_after(known: datetime | None) -> pl.Expr:
    return pl.lit(False) if known is None else pl.col(KNOWN) > known
