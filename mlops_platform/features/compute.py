"""Feature tables, computed partition by partition from just the raw partitions that changed.

The rows of a month depend on raw rows from ``lookback`` before it to its end, since a function gives
no row earlier than the event timestamps of the raw rows behind it. A month whose raw partitions, code and declaration
are those of its last computation is left alone.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from mlops_platform.errors import PlatformError
from mlops_platform.manifest import digest_of
from mlops_platform.resources.delta import PARTITION, POLARS_TYPES, DeltaDoor, content_digest, month_bounds
from mlops_platform.spec import FeatureTable, duration

RECIPES = "mlops.recipes"

_WHOLE = "all"
_TIMES = ("event_timestamp", "known_timestamp")


@dataclass(frozen=True, kw_only=True)
class Computed:
    """What one computation did.

    Attributes:
        rows: Rows of the whole table.
        computed: Partitions computed now.
        kept: Partitions that were left alone.
        rebuilt: Those of ``computed`` that were asked for by name.
        differing: Those of ``rebuilt`` that came out different although rows, code and declaration are the same: the
            function has a source of randomness.
    """

    rows: int
    computed: tuple[str, ...]
    kept: tuple[str, ...]
    rebuilt: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """What came of the partitions asked for by name, in words."""
        counted = f"rebuilt {len(self.rebuilt)} month{'' if len(self.rebuilt) == 1 else 's'}"
        return (
            f"{counted}, different bytes: {', '.join(self.differing)}" if self.differing else f"{counted}, equal bytes"
        )


def compute_table(
    table: FeatureTable,
    function: Callable[[pl.LazyFrame], pl.LazyFrame],
    raw: pl.LazyFrame,
    raw_partitions: Mapping[str, str],
    code: str,
    door: DeltaDoor,
    *,
    again: Collection[str] = (),
) -> Computed:
    """Brings a feature table up to date with its raw table, in one commit.

    Args:
        table: The declaration.
        function: Raw rows to feature rows.
        raw: Rows of the raw table at the version whose digests follow.
        raw_partitions: Digest of each raw partition.
        code: Digest of the function's source closure.
        door: The feature table.
        again: Partitions to compute although nothing behind them changed; those of equal rows are not written.

    Raises:
        PlatformError: The function's columns are not those declared; the raw table has no rows.
    """
    if not raw_partitions and not door.exists:
        raise no_rows(table)
    wanted = _recipes(table, raw_partitions, code)
    had = _last_recipes(door)
    stale = sorted(name for name in wanted if wanted[name] != had.get(name))
    gone = sorted(set(had) - set(wanted))
    rebuilt = sorted(set(again) & set(wanted))
    frames = {name: _partition(table, function, raw, name) for name in sorted({*stale, *rebuilt})}
    found, before = {name: content_digest(frame) for name, frame in frames.items()}, door.digests()
    written = [name for name in frames if found[name] != before.get(name)]
    differing = [name for name in written if name not in stale]
    digests = {name: found[name] if name in found else before[name] for name in wanted}
    if written or gone:
        rows = pl.concat([frames[name] for name in written] or [door.scan().head(0).collect()])
        door.replace(rows, [*written, *gone], metadata={RECIPES: wanted}, digests=digests)
    elif stale:
        # Equal rows by another recipe: only that is noted.
        door.append(door.scan().head(0).collect(), metadata={RECIPES: wanted}, digests=digests)
    total = door.scan().select(pl.len()).collect().item()
    return Computed(rows=total, computed=tuple(frames), kept=tuple(sorted(set(wanted) - set(frames))),
                    rebuilt=tuple(rebuilt), differing=tuple(differing))  # fmt: skip


def no_rows(table: FeatureTable) -> PlatformError:
    """What to say of a feature table whose raw table has no rows."""
    return PlatformError(
        required=f"rows in raw table {table.source}, from which {table.name} is computed",
        found="none: all that landed is in quarantine",
        remedy=f"see the check nothing_quarantined of {table.source}, and land files that it takes",
    )


def partition_names(table: FeatureTable, raw: Collection[str]) -> list[str]:
    """Every partition that a feature table has when its raw table has these months, in order."""
    return [_WHOLE] if table.partition == "whole" else _months(table, raw)


def _recipes(table: FeatureTable, raw: Mapping[str, str], code: str) -> dict[str, str]:
    declared = {"columns": [repr(c) for c in table.columns], "keys": list(table.keys), "lookback": table.lookback}
    if table.partition == "whole":
        return {_WHOLE: digest_of([declared, code, dict(raw)])}
    return {
        month: digest_of([declared, code, {m: raw[m] for m in raw if _touches(table, m, month)}])
        for month in _months(table, raw)
    }


def _months(table: FeatureTable, raw: Collection[str]) -> list[str]:
    """Every month that raw rows can matter to: what leaves a window may do so a month after it came."""
    if not raw:
        return []
    first, last = _bounds(min(raw))[0], _bounds(max(raw))[1] + _lookback(table) - timedelta(microseconds=1)
    every = pl.datetime_range(first, last, "1mo", eager=True, time_unit="us", time_zone="UTC")
    return every.dt.strftime("%Y-%m").to_list()


def _touches(table: FeatureTable, raw_month: str, month: str) -> bool:
    """Whether raw rows of one month can matter to feature rows of another."""
    (start, end), (first, last) = _bounds(raw_month), _bounds(month)
    return bool(start < last and end > first - _lookback(table))


def _bounds(month: str) -> tuple:
    start, end = month_bounds(month)
    return pl.select(start).item(), pl.select(end).item()


def _lookback(table: FeatureTable) -> timedelta:
    return duration(table.lookback) if table.lookback else timedelta(0)


def _last_recipes(door: DeltaDoor) -> dict[str, str]:
    recipes = door.metadata(RECIPES)
    return recipes[-1] if recipes else {}


def _partition(table: FeatureTable, function: Callable[[pl.LazyFrame], pl.LazyFrame], raw: pl.LazyFrame,
               name: str) -> pl.DataFrame:  # fmt: skip
    rows = raw
    if name != _WHOLE:
        start, end = _bounds(name)
        near = pl.col("event_timestamp").is_between(start - _lookback(table), end, closed="left")
        rows = raw.filter(near)
    found = function(rows)
    if name != _WHOLE:
        found = found.filter(pl.col("event_timestamp").is_between(start, end, closed="left"))
    order = [*table.keys, *_TIMES]
    frame = check_columns(table, found.collect(engine="in-memory")).sort(order, nulls_last=True, maintain_order=True)
    return frame.with_columns((pl.lit(name)).alias(PARTITION))


def check_columns(table: FeatureTable, frame: pl.DataFrame) -> pl.DataFrame:
    """The declared columns in their declared order.

    Raises:
        PlatformError: A column is missing or of another type; both timestamps must be microseconds in UTC.
    """
    wanted = {name: POLARS_TYPES["timestamp"] for name in _TIMES} | {
        c.name: POLARS_TYPES[c.dtype] for c in table.columns
    }
    wrong = [
        f"{name}: {frame.schema.get(name, 'missing')}, not {dtype}"
        for name, dtype in wanted.items()
        if frame.schema.get(name) != dtype
    ]
    wrong += [f"{key}: missing" for key in table.keys if key not in frame.columns]
    if wrong:
        raise PlatformError(
            required=f"{table.compute} to return the columns that FeatureTable({table.name}) declares",
            found="; ".join(wrong),
            remedy="change the function or the declaration so that they agree",
        )
    return frame.select(*table.keys, *wanted)
