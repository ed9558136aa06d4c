"""From one example back to the feature rows that it saw, and from those to the raw rows behind them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from mlops_platform.manifest import Manifest, short
from mlops_platform.point_in_time import ViewFrame, join_as_of
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.source_code import resolve
from mlops_platform.spec import FeatureTable, duration


@dataclass(frozen=True, kw_only=True)
class SourceRows:
    """Raw rows, by file.

    Attributes:
        table: Raw table.
        version: Its Delta version.
        files: For each file: name, digest and the row numbers, from 0, in ascending order.
    """

    table: str
    version: int
    files: list[dict[str, Any]]

    @property
    def count(self) -> int:
        """How many rows there are."""
        return sum(len(file["rows"]) for file in self.files)


@dataclass(frozen=True, kw_only=True)
class FeatureRow:
    """The feature row that an example saw.

    Attributes:
        view: Feature table.
        version: Its Delta version.
        digest: Of the feature table.
        keys: Entity keys.
        event_timestamp, known_timestamp: Of the row, UTC; None where no row was visible.
        values: The features.
        source: The raw rows that it can depend on; None where no row was visible.
        recomputed_equal: Whether the row, computed again from just those raw rows, is equal bit for bit.
    """

    view: str
    version: int
    digest: str
    keys: dict[str, Any]
    event_timestamp: datetime | None
    known_timestamp: datetime | None
    values: dict[str, Any]
    source: SourceRows | None
    recomputed_equal: bool | None


def feature_row(home: Home, table: FeatureTable, names: list[str], example: dict[str, Any], features: Manifest,
                raw: Manifest) -> FeatureRow:  # fmt: skip
    """The row of one feature table that an example saw.

    Args:
        home: Where the tables are.
        table: The declaration.
        names: The feature columns asked for.
        example: Keys and ``event_timestamp`` of the example.
        features: The feature table, as the answer read it.
        raw: The raw table, as the feature table read it.
    """
    keys = {key: example[key] for key in table.keys}
    frame = DeltaDoor(home.root / features.delta.path).scan(features.delta.version)
    view = ViewFrame(
        name=table.name, frame=frame.filter(*_equal(keys)), keys={key: key for key in keys},
        features={name: name for name in names}, event_timestamp="event_timestamp",
        known_timestamp="known_timestamp", ttl=duration(table.ttl) if table.ttl else None,
    )  # fmt: skip
    types = {key: frame.collect_schema()[key] for key in keys}
    entity = pl.LazyFrame({**{k: [v] for k, v in keys.items()}, "event_timestamp": [example["event_timestamp"]]},
                          schema_overrides=types)  # fmt: skip
    found = (
        join_as_of(entity, [view], event_timestamp="event_timestamp", with_times=True)
        .collect(engine="in-memory")
        .row(0, named=True)
    )
    event, known = found[f"{table.name}__event_timestamp"], found[f"{table.name}__known_timestamp"]
    values = {name: found[name] for name in names}
    source, equal = None, None
    if event is not None:
        rows = _raw_rows(home, table, keys, raw, event)
        source = SourceRows(table=table.source, version=raw.delta.version, files=by_file(rows, raw))
        equal = _recomputes(table, names, keys, rows, (event, known), values)
    return FeatureRow(view=table.name, version=features.delta.version, digest=features.digest, keys=keys,
                      event_timestamp=event, known_timestamp=known, values=values, source=source,
                      recomputed_equal=equal)  # fmt: skip


def _equal(keys: dict[str, Any]) -> list[pl.Expr]:
    return [pl.col(key) == pl.lit(value) for key, value in keys.items()]


def _raw_rows(home: Home, table: FeatureTable, keys: dict[str, Any], raw: Manifest, event: datetime) -> pl.DataFrame:
    rows = DeltaDoor(home.root / raw.delta.path).scan(raw.delta.version).filter(*_equal(keys))
    if table.partition == "month":
        back = duration(table.lookback) if table.lookback else timedelta(0)
        rows = rows.filter(pl.col("event_timestamp").is_between(event - back, event))
    return rows.collect()


def by_file(rows: pl.DataFrame, raw: Manifest) -> list[dict[str, Any]]:
    """Raw rows as ``SourceRows.files``: by the file they came in."""
    names = {short(digest): (name, digest) for digest, name in raw.content["files"].items()}
    grouped = rows.group_by("_file").agg(pl.col("_row").sort()).sort("_file")
    return [{"name": names[f][0], "digest": names[f][1], "rows": numbers} for f, numbers in grouped.iter_rows()]


def _recomputes(table: FeatureTable, names: list[str], keys: dict[str, Any], rows: pl.DataFrame,
                times: tuple[datetime, datetime], values: dict[str, Any]) -> bool:  # fmt: skip
    event, known = times
    same = (pl.col("event_timestamp") == event, pl.col("known_timestamp") == known)
    again = resolve(table.compute)(rows.lazy()).filter(*same, *_equal(keys)).collect()
    return not again.is_empty() and again.select(names).row(-1, named=True) == values
