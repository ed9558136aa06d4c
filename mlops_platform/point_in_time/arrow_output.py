"""What leaves the store: types as stored, in the plain forms that Feast and its online stores read.

Feast looks only at the first chunk of a column and knows `string` and `list`, not `large_string` or `large_list`.
"""

import polars as pl
import pyarrow as pa

from mlops_platform.point_in_time.times import UTC_TIME


def with_plain_types(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame in the types that `to_plain_arrow` keeps, at any depth of lists and structs.

    Every datetime is `Datetime("us", "UTC")`, one without a zone taken as UTC; categories are text; arrays are lists.
    The rest is untouched.
    """
    stored = frame.schema  # made anew each time it is asked for
    plain = {name: _plain(dtype) for name, dtype in stored.items()}
    return frame.cast({name: dtype for name, dtype in plain.items() if dtype != stored[name]})


def _plain(dtype: pl.DataType) -> pl.DataType:
    if isinstance(dtype, pl.Datetime):
        return UTC_TIME
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return pl.String()
    if isinstance(dtype, pl.List | pl.Array):
        return pl.List(_plain(_known(dtype.inner)))
    if isinstance(dtype, pl.Struct):
        return pl.Struct([pl.Field(field.name, _plain(_known(field.dtype))) for field in dtype.fields])
    return dtype


def _known(dtype: object) -> pl.DataType:
    assert isinstance(dtype, pl.DataType)  # the schema of a frame holds types, never their classes
    return dtype


def to_plain_arrow(frame: pl.DataFrame) -> pa.Table:
    """Return the frame as an Arrow table of one chunk a column, without `large_*`, view or dictionary types.

    Raises:
        pyarrow.ArrowInvalid: A text or list column holds more than 2 GiB, which `string` and `list` cannot address.
    """
    table = with_plain_types(frame).rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    schema = pa.schema([pa.field(field.name, _small(field.type)) for field in table.schema])
    if not table.num_rows:  # without a row there would be no chunk
        return pa.Table.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
    return table.cast(schema).combine_chunks()


def _small(dtype: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(dtype):
        return pa.string()
    if pa.types.is_large_binary(dtype):
        return pa.binary()
    if pa.types.is_map(dtype):
        return pa.map_(_small(dtype.key_type), _small(dtype.item_type))
    if pa.types.is_large_list(dtype):
        return pa.list_(_small(dtype.value_type))
    if pa.types.is_struct(dtype):
        return pa.struct([pa.field(field.name, _small(field.type)) for field in dtype])
    return dtype
