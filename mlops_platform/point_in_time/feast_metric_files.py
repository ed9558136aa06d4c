"""Where monitoring metrics are kept: the Parquet files of Feast's file stores, written whole and one at a time."""

import fcntl
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
from feast.monitoring.monitoring_utils import MONITORING_DIR, monitoring_parquet_meta, normalize_monitoring_row

from mlops_platform.point_in_time.errors import PointInTimeError
from mlops_platform.point_in_time.times import UTC_TIME, as_utc, in_utc

_INTEGERS = ("row_count", "null_count", "total_row_count", "total_features", "features_with_nulls")
_FLOATS = ("null_rate", "avg_null_rate", "max_null_rate", "mean", "stddev", "min_val", "max_val")
_TIMES = ("computed_at", "max_event_timestamp", "started_at", "completed_at")
_TYPES: dict[str, pl.DataType] = {
    **dict.fromkeys((*_INTEGERS, "total_feature_views"), pl.Int64()),
    **dict.fromkeys((*_FLOATS, "p50", "p75", "p90", "p95", "p99"), pl.Float64()),
    **dict.fromkeys(_TIMES, UTC_TIME),
    "metric_date": pl.Date(),
    "is_baseline": pl.Boolean(),
}


class MetricFile:
    """The metrics of one kind, in one Parquet file below the repository; a file that Feast wrote is read too."""

    def __init__(self, repo_path: Path | str | None, metric_type: str) -> None:
        """Name the file; nothing is read.

        Raises:
            ValueError: `metric_type` is not "feature", "feature_view", "feature_service" or "job" (Feast's check).
        """
        name, columns, self._key = monitoring_parquet_meta(metric_type)
        self._path = Path(repo_path or ".") / MONITORING_DIR / name
        self._schema = pl.Schema({column: _TYPES.get(column, pl.String()) for column in columns})

    def ensure(self) -> None:
        """Create the file, without rows, if it is not there."""
        with self._locked():
            if not self._path.exists():
                self._write(self._schema.to_frame())

    def save(self, metrics: Sequence[Mapping[str, Any]]) -> None:
        """Add rows; one with the key of an earlier row replaces it. Keys that are no column are left out."""
        rows = [{name: _value(name, row.get(name)) for name in self._schema} for row in metrics]
        with self._locked():
            every = pl.concat([self.read(), pl.DataFrame(rows, schema=self._schema)])
            self._write(every.unique(subset=self._key, keep="last", maintain_order=True))

    def clear_baseline(self, conditions: Mapping[str, Any]) -> None:
        """Set `is_baseline` to false in the rows that meet all conditions that are not None."""
        with self._locked():
            rows = self.read()
            baseline = self._met(conditions) & pl.col("is_baseline")
            if rows.filter(baseline).height:
                kept = pl.when(baseline).then(pl.lit(False)).otherwise(pl.col("is_baseline"))
                self._write(rows.with_columns(kept.alias("is_baseline")))

    def query(self, conditions: Mapping[str, Any], start: date | None, end: date | None) -> list[dict[str, Any]]:
        """Return the rows that meet all conditions that are not None, by `metric_date`, both ends included.

        Times and dates are ISO text and histograms dicts, as Feast returns them.

        Raises:
            PointInTimeError: A condition names no column.
        """
        rows = self.read().filter(self._met(conditions))
        if start is not None:
            rows = rows.filter(pl.col("metric_date") >= start)
        if end is not None:
            rows = rows.filter(pl.col("metric_date") <= end)
        rows = rows.sort("metric_date", nulls_last=True, maintain_order=True)
        return [normalize_monitoring_row(row) for row in rows.to_dicts()]

    def read(self) -> pl.DataFrame:
        """Return every row; none if there is no file."""
        if not self._path.exists():
            return self._schema.to_frame()
        found = pl.read_parquet(self._path)
        return found.select(_read(name, dtype, found.schema) for name, dtype in self._schema.items())

    def _met(self, conditions: Mapping[str, Any]) -> pl.Expr:
        unknown = sorted(set(conditions) - set(self._schema))
        if unknown:
            raise PointInTimeError(
                f"monitoring metrics: no column {', '.join(map(repr, unknown))} to filter by; found "
                f"{', '.join(self._schema)}. Correct the filter."
            )
        given = {name: _value(name, value) for name, value in conditions.items() if value is not None}
        return pl.all_horizontal(pl.lit(True), *(pl.col(name) == pl.lit(value) for name, value in given.items()))

    def _write(self, rows: pl.DataFrame) -> None:
        draft = self._path.with_name(f".{self._path.name}.{uuid.uuid4().hex}")
        rows.write_parquet(draft)
        os.replace(draft, self._path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # A save reads and writes the whole file: of two at once, one would be lost.
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_name(f".{self._path.name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _value(name: str, value: Any) -> Any:
    """Return a value as its column holds it; times and dates may be the text that `query` returned."""
    dtype = _TYPES.get(name)
    if value is None:
        return None
    if dtype == UTC_TIME:
        return in_utc(datetime.fromisoformat(value) if isinstance(value, str) else value)
    if dtype == pl.Date:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return in_utc(moment).date() if isinstance(moment, datetime) else moment
    if dtype == pl.Float64:
        return float(value)
    if dtype == pl.Int64:
        return int(value)
    if dtype == pl.Boolean:
        return bool(value)
    return value if isinstance(value, str) else json.dumps(value)


def _read(name: str, dtype: pl.DataType, found: pl.Schema) -> pl.Expr:
    if name not in found:
        return pl.lit(None, dtype=dtype).alias(name)
    if dtype == UTC_TIME:
        return as_utc(name, found[name], where="monitoring metrics")
    if dtype == pl.Date and found[name] == pl.String:
        return pl.col(name).str.to_date()
    return pl.col(name).cast(dtype)
