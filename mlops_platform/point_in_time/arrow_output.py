"""What leaves the store: types as stored, in the plain Arrow forms that Feast and its online stores read.

Feast looks only at the first chunk of a column and knows `string` and `list`, not `large_string` or `large_list`.
"""

import polars as pl
import pyarrow as pa

from mlops_platform.point_in_time.times import as_utc


def with_plain_types(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with every datetime as `Datetime("us", "UTC")` and categories as text; the rest untouched."""
    return frame.with_columns(
        pl.col(name).cast(pl.String) if dtype in (pl.Categorical, pl.Enum) else as_utc(name, dtype, where="result")
        for name, dtype in frame.schema.items()
        if dtype in (pl.Categorical, pl.Enum) or isinstance(dtype, pl.Datetime)
    )


def to_plain_arrow(frame: pl.DataFrame) -> pa.Table:
    """Return the frame as an Arrow table of one chunk a column, without `large_*`, view or dictionary types.

    Raises:
        pyarrow.ArrowInvalid: A text or list column holds more than 2 GiB, which `string` and `list` cannot address.
    """
    table = with_plain_types(frame).rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    schema = pa.schema([pa.field(field.name, _plain(field.type)) for field in table.schema])
    return table.cast(schema).combine_chunks()


def _plain(dtype: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(dtype):
        return pa.string()
    if pa.types.is_large_binary(dtype):
        return pa.binary()
    if pa.types.is_large_list(dtype) or pa.types.is_fixed_size_list(dtype):
        return pa.list_(_plain(dtype.value_type))
    if pa.types.is_struct(dtype):
        return pa.struct([pa.field(field.name, _plain(field.type)) for field in dtype])
    if pa.types.is_timestamp(dtype):  # only nested ones are left: a naive one means UTC here as everywhere
        return pa.timestamp("us", tz="UTC")
    return dtype
