"""A result as torch tensors, column by column."""

from typing import Any

import polars as pl

from mlops_platform.point_in_time.errors import PointInTimeError


def to_tensors(rows: pl.DataFrame, default_value: Any) -> dict[str, Any]:
    """Return each numeric or boolean column as a tensor, on the GPU if torch sees one, and any other as a list.

    Types are those stored (unsigned ones of 16 and 32 bits are widened, decimals are Float64). Nulls and NaNs become
    `default_value`: an integer column with nulls stays Int64 if that is an integer, and is Float64 otherwise; a boolean
    column with nulls stays boolean if it is a bool.

    Raises:
        PointInTimeError: A numeric column has nulls and `default_value` is no number.
        ImportError: torch is not installed.
    """
    from feast.torch_wrapper import get_torch

    torch = get_torch()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found: dict[str, Any] = {}
    for column in rows.iter_columns():
        if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
            found[column.name] = _filled(column, default_value).to_torch().to(device)
        else:
            found[column.name] = [default_value if value is None else value for value in column.to_list()]
    return found


def _filled(column: pl.Series, default: Any) -> pl.Series:
    if column.dtype.is_decimal() or column.dtype == pl.Null:
        column = column.cast(pl.Float64)
    elif column.dtype in (pl.Int128, pl.UInt128):
        column = column.cast(pl.Int64)
    floating = column.dtype.is_float()
    if not column.has_nulls() and not (floating and column.is_nan().any()):
        return column
    if not isinstance(default, int | float):
        raise PointInTimeError(
            f"to_tensor: the column {column.name!r} is {column.dtype} and has missing values; required is a number as "
            f"default_value; found {default!r}."
        )
    if floating:
        return column.fill_nan(None).fill_null(float(default))
    if column.dtype == pl.Boolean and isinstance(default, bool):
        return column.fill_null(default)
    return column.cast(pl.Int64 if isinstance(default, int) else pl.Float64).fill_null(default)
