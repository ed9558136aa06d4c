"""The figures of a feature that Feast monitors: counts, moments, percentiles and a histogram."""

import math
from collections.abc import Sequence
from typing import Any

import polars as pl
from feast.monitoring.monitoring_utils import empty_categorical_metric, empty_numeric_metric, opt_float

from mlops_platform.point_in_time.errors import PointInTimeError

_PERCENTILES = {"p50": 0.50, "p75": 0.75, "p90": 0.90, "p95": 0.95, "p99": 0.99}


def feature_metrics(
    rows: pl.DataFrame, features: Sequence[tuple[str, str]], *, where: str, bins: int, top: int
) -> list[dict[str, Any]]:
    """Return one dict a feature, in the order asked, in the shape of Feast's own stores.

    Args:
        rows: The rows, with a column for each feature.
        features: Names, each with "numeric" or "categorical".
        where: What the rows belong to, for errors.
        bins: Number of bars of a numeric histogram.
        top: Number of values that a categorical histogram names; of equally frequent ones the smaller.

    Raises:
        PointInTimeError: A column to be measured as numeric holds no numbers; another kind of feature.
    """
    found = []
    for name, kind in features:
        if kind == "numeric":
            found.append(_numeric(rows[name], where, bins))
        elif kind == "categorical":
            found.append(_categorical(rows[name], top))
        else:
            raise PointInTimeError(
                f"{where}: the feature {name!r} is to be measured as {kind!r}; required is 'numeric' or 'categorical'."
            )
    return found


def _counts(column: pl.Series) -> dict[str, Any]:
    rows, nulls = len(column), column.null_count()
    return {"row_count": rows, "null_count": nulls, "null_rate": nulls / rows if rows else 0.0}


def _texts(values: pl.Series) -> pl.Series | None:
    """Return values as text, lists as DuckDB writes them; None if they are structs or lists of lists."""
    if isinstance(values.dtype, pl.List | pl.Array) and not values.dtype.inner.is_nested():
        parts = values.cast(pl.List(pl.String)).list.eval(pl.element().fill_null("NULL"))
        return ("[" + parts.list.join(", ") + "]").alias("value")
    return None if values.dtype.is_nested() else values.cast(pl.String).alias("value")


def _numeric(column: pl.Series, where: str, bins: int) -> dict[str, Any]:
    """Return the figures of a column of numbers.

    Mean and deviation are None if a value is NaN or infinite, as in Feast; the rest is of the finite values. Of a list
    of numbers, which Feast asks for as numeric too, only rows and nulls are counted.
    """
    if column.dtype.is_nested():
        return empty_numeric_metric(column.name) | _counts(column)
    if not (column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null)):
        raise PointInTimeError(
            f"{where}: the column {column.name!r} is {column.dtype}; required is a column of numbers, since the "
            f"feature is declared as one. Correct the source or the declared type."
        )
    metric = empty_numeric_metric(column.name) | _counts(column)
    values = column.cast(pl.Float64).drop_nulls()
    finite = values.filter(values.is_finite())
    metric |= {"mean": opt_float(values.mean()), "stddev": opt_float(values.std(ddof=1))}
    if finite.is_empty():
        return metric
    metric |= {name: finite.quantile(share, "linear") for name, share in _PERCENTILES.items()}
    least, most = float(finite.min()), float(finite.max())  # type: ignore[arg-type]
    return metric | {"min_val": least, "max_val": most, "histogram": _histogram(finite, least, most, bins)}


def _histogram(values: pl.Series, least: float, most: float, bins: int) -> dict[str, Any]:
    width = (most - least) / bins
    if width == 0 or math.isinf(width):
        return {"bins": [least, most], "counts": [len(values)], "bin_width": 0.0}
    bars = ((values - least) / width).floor().cast(pl.Int64).clip(upper_bound=bins - 1)
    held = dict(bars.value_counts().iter_rows())
    edges = [least + number * width for number in range(bins + 1)]
    return {"bins": edges, "counts": [held.get(number, 0) for number in range(bins)], "bin_width": width}


def _categorical(column: pl.Series, top: int) -> dict[str, Any]:
    metric = empty_categorical_metric(column.name) | _counts(column)
    values = _texts(column.drop_nulls())
    if values is None or values.is_empty():
        return metric
    every = values.value_counts().sort(["count", "value"], descending=[True, False])
    first = every.head(top)
    histogram = {
        "values": first.to_dicts(),
        "other_count": len(values) - int(first["count"].sum()),
        "unique_count": every.height,
    }
    return metric | {"histogram": histogram}
