"""The feature rows that an example saw, and from those to the raw rows behind them.

The tables of one example are read together: what costs time is the number of queries, not that of rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from mlops_platform.manifest import Manifest
from mlops_platform.provenance.evidence import opened
from mlops_platform.provenance.source_rows import SourceRows, by_file
from mlops_platform.resources.artifacts import ArtifactStore
from mlops_platform.resources.delta_files import Bounds, TableFiles, collected, literal, within
from mlops_platform.resources.home import Home
from mlops_platform.resources.source_code import resolve
from mlops_platform.spec import FeatureTable, duration

PRESENT, MISSING = "present", "missing"
_EVENT, _KNOWN = "event_timestamp", "known_timestamp"
_CLOSE = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class FeatureRow:
    """The feature row that an example saw.

    Attributes:
        view: Feature table.
        version: Its Delta version; None where the row is in no version that is recorded.
        digest: Of the feature table at that version.
        keys: Entity keys.
        event_timestamp, known_timestamp: Of the row, UTC; None where no row was visible.
        values: The features that the model was given.
        source: The raw rows that it can depend on; None where no row was visible, or none is recorded.
        recomputed_equal: Whether the row, computed again from just those raw rows, is equal bit for bit.
        status: ``present``, ``missing``, or what the online store said: ``stale``, ``later``.
        marks: By feature, what a policy did about it.
        as_answered: Of a live answer, whether the row that is recorded holds the very values that the model was given.
    """

    view: str
    version: int | None
    digest: str | None
    keys: dict[str, Any]
    event_timestamp: datetime | None
    known_timestamp: datetime | None
    values: dict[str, Any]
    source: SourceRows | None
    recomputed_equal: bool | None
    status: str = PRESENT
    marks: dict[str, str] = field(default_factory=dict)
    as_answered: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """One row of a feature table, and which versions of the tables it is of.

    Attributes:
        table: The declaration.
        names: Its features that the model reads.
        keys: Entity keys.
        features: The feature table.
        raw: The raw table as the feature table read it; None where that is not recorded any more.
        row: ``names`` and both times; None where no row was visible.
    """

    table: FeatureTable
    names: list[str]
    keys: dict[str, Any]
    features: Manifest
    raw: Manifest | None
    row: dict[str, Any] | None


def raw_of(store: ArtifactStore, features: Manifest, table: FeatureTable) -> tuple[Manifest | None, list[str]]:
    """The raw table as a feature table read it, or, in words, that it is not recorded any more."""
    return opened(
        store, "raw", features.recipe.inputs[table.source], f"the raw rows behind the row of {table.name}, in"
    )


def visible(home: Home, table: FeatureTable, names: Sequence[str], keys: dict[str, Any], at: datetime,
            features: Manifest) -> dict[str, Any] | None:  # fmt: skip
    """The newest row of a key that was visible at a time, as ``point_in_time.join_as_of`` chooses it.

    Files are read from the newest on, until no other can hold a newer row.

    Args:
        home: Where the table is.
        table: The declaration.
        names: Features wanted.
        keys: Entity keys; a null matches nothing.
        at: The time of the question, UTC.
        features: The feature table, as the answer read it.
    """
    if any(value is None for value in keys.values()):
        return None
    oldest = at - duration(table.ttl) if table.ttl else None
    bounds: Bounds = {**{key: (value, value) for key, value in keys.items()}, _EVENT: (oldest, at)}
    files = TableFiles.at(home.root / features.delta.path, features.delta.version)
    newest: dict[str, Any] | None = None
    for file in _newest_first(files.holding(bounds)):
        if newest is not None and file[f"max.{_EVENT}"].item() < newest[_EVENT]:
            break
        rows = files.scan(bounds, file).filter((pl.col(_KNOWN) <= literal(at)) | pl.col(_KNOWN).is_null())
        (read,) = collected([rows.select(*names, _EVENT, _KNOWN)], [files])
        newest = _newer(newest, newest_of(read))
    return newest


def _newest_first(files: pl.DataFrame) -> Sequence[pl.DataFrame]:
    """One file each; all at once where a table has no statistics of its times."""
    if f"max.{_EVENT}" not in files.columns or files[f"max.{_EVENT}"].null_count():
        return [files.with_columns(pl.lit(None, pl.Datetime("us", "UTC")).alias(f"max.{_EVENT}"))]
    return list(files.sort(f"max.{_EVENT}", descending=True).iter_slices(1))


def newest_of(rows: pl.DataFrame) -> dict[str, Any] | None:
    """Of the rows of one key, that of the newest event time, then the newest known time, then the last one."""
    ordered = rows.sort(_EVENT, _KNOWN, nulls_last=False, maintain_order=True)
    return ordered.row(-1, named=True) if ordered.height else None


def _newer(one: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any] | None:
    if one is None or other is None:
        return one or other
    never = datetime.min.replace(tzinfo=one[_EVENT].tzinfo)
    return max(other, one, key=lambda row: (row[_EVENT], row[_KNOWN] or never))


def walked(home: Home, chosen: Sequence[Chosen]) -> list[FeatureRow]:
    """The rows with the raw rows behind them, each computed again.

    Args:
        home: Where the tables are.
        chosen: The rows, in the order of the answer.
    """
    behind = [place for place, each in enumerate(chosen) if each.row is not None and each.raw is not None]
    raw = _raw_rows(home, [chosen[place] for place in behind])
    again = pl.collect_all(
        [_again(chosen[place], rows) for place, rows in zip(behind, raw, strict=True)], engine="in-memory"
    )
    found = {place: (rows, same) for place, rows, same in zip(behind, raw, again, strict=True)}
    return [_told(each, *found.get(place, (None, None))) for place, each in enumerate(chosen)]


def _told(chosen: Chosen, rows: pl.DataFrame | None, again: pl.DataFrame | None) -> FeatureRow:
    row, raw = chosen.row or {}, chosen.raw
    values = {name: row.get(name) for name in chosen.names}
    source, equal = None, None
    if rows is not None and again is not None and raw is not None:
        source = SourceRows(table=chosen.table.source, version=raw.delta.version, files=by_file(rows, raw))
        equal = not again.is_empty() and again.row(-1, named=True) == values
    return FeatureRow(
        view=chosen.table.name, version=chosen.features.delta.version, digest=chosen.features.digest, keys=chosen.keys,
        event_timestamp=row.get(_EVENT), known_timestamp=row.get(_KNOWN), values=values, source=source,
        recomputed_equal=equal, status=PRESENT if chosen.row else MISSING,
    )  # fmt: skip


def _raw_rows(home: Home, chosen: Sequence[Chosen]) -> list[pl.DataFrame]:
    """The raw rows behind each; what several rows need of one raw table is read once, where their times are close."""
    bounds = [_bounds(each) for each in chosen]
    spans: dict[tuple[str, int], list[tuple[datetime, datetime]]] = {}
    for each, bound in zip(chosen, bounds, strict=True):
        if _EVENT in bound:
            spans.setdefault(_source(each), []).append(bound[_EVENT])
    whole = {source: (min(low for low, _ in each), max(high for _, high in each)) for source, each in spans.items()}
    close = {source: span for source, span in whole.items()
             if len(spans[source]) > 1 and span[1] - span[0] <= _CLOSE}  # fmt: skip
    tables = {_source(each): _files(home, _source(each)) for each in chosen}
    every = list(tables.values())
    read = collected([tables[source].scan({_EVENT: span}) for source, span in close.items()], every)
    shared = dict(zip(close, read, strict=True))
    rows = [
        shared[_source(each)].lazy().filter(within(bound)) if _EVENT in bound and _source(each) in shared
        else tables[_source(each)].scan(bound)
        for each, bound in zip(chosen, bounds, strict=True)
    ]  # fmt: skip
    return collected(rows, every)


def _bounds(chosen: Chosen) -> dict[str, tuple[Any, Any]]:
    assert chosen.row is not None
    bounds: dict[str, tuple[Any, Any]] = {key: (value, value) for key, value in chosen.keys.items()}
    if chosen.table.partition == "month":
        back = duration(chosen.table.lookback) if chosen.table.lookback else timedelta(0)
        bounds[_EVENT] = (chosen.row[_EVENT] - back, chosen.row[_EVENT])
    return bounds


def _source(chosen: Chosen) -> tuple[str, int]:
    """Folder and version of the raw table."""
    assert chosen.raw is not None
    return chosen.raw.delta.path, chosen.raw.delta.version


def _files(home: Home, source: tuple[str, int]) -> TableFiles:
    return TableFiles.at(home.root / source[0], source[1])


def _again(chosen: Chosen, rows: pl.DataFrame) -> pl.LazyFrame:
    """The row's features, computed from raw rows."""
    assert chosen.row is not None
    same = {**chosen.keys, _EVENT: chosen.row[_EVENT], _KNOWN: chosen.row[_KNOWN]}
    found = resolve(chosen.table.compute)(rows.lazy())
    return found.filter(*(pl.col(name).eq_missing(literal(value)) for name, value in same.items())).select(chosen.names)
