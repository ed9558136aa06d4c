"""Times as the engine sees them: microseconds, in UTC.

One place decides what a time column means, so that an entity frame, a Parquet file and a Delta table agree.
"""

from datetime import UTC, date, datetime, timedelta

import polars as pl

from mlops_platform.point_in_time.errors import PointInTimeError

UTC_TIME = pl.Datetime("us", "UTC")

# Raw columns may be coarser (ms) or finer (ns) than a microsecond, so a bound pushed down to them is widened by this
# much; the exact comparison happens afterwards.
_SLACK = timedelta(milliseconds=1)
_FIRST_NS, _LAST_NS = datetime(1678, 1, 1, tzinfo=UTC), datetime(2262, 1, 1, tzinfo=UTC)
_TEXT_FORMAT = "%Y-%m-%dT%H:%M:%S%.f%:z"


def as_utc(column: str, dtype: pl.DataType, *, where: str) -> pl.Expr:
    """Return an expression that reads a time column as `Datetime("us", "UTC")`, keeping its name.

    Args:
        column: Name of the column.
        dtype: Its type. Datetimes without a zone are taken as UTC; other zones are converted; dates mean midnight
            UTC; text is parsed as ISO 8601 (a `T` or a blank; an offset, `Z` or none, which means UTC). Finer units
            are cut to microseconds.
        where: What the column belongs to, for the error text.

    Raises:
        PointInTimeError: The column is of a type that is no time.
        polars.exceptions.InvalidOperationError: When collected, if a text is not a time.
    """
    read = pl.col(column)
    if isinstance(dtype, pl.Datetime):
        read = read.dt.cast_time_unit("us")
        return read.dt.replace_time_zone("UTC") if dtype.time_zone is None else read.dt.convert_time_zone("UTC")
    if dtype in (pl.Date, pl.Null):
        return read.cast(UTC_TIME)
    if dtype == pl.String:
        return _parsed(read)
    raise PointInTimeError(
        f"{where}: the time column {column!r} is of type {dtype}; required is a datetime, a date or ISO 8601 text. "
        f"Convert it, for example pl.from_epoch({column!r}, time_unit='s') for seconds since 1970."
    )


def _parsed(text: pl.Expr) -> pl.Expr:
    # polars infers one format from the first value; a column may hold several, so bring all to one form first.
    text = (
        text.str.strip_chars()
        .str.replace(r"^(\d{4}-\d{2}-\d{2})$", "${1}T00:00:00")
        .str.replace(r"^(\d{4}-\d{2}-\d{2}) +", "${1}T")
        .str.replace(r"(?i) *(z|utc)$", "+00:00")
        .str.replace(r"T(\d\d:\d\d)($|[+-])", "T${1}:00${2}")
        .str.replace(r"(T.*[+-]\d\d):?(\d\d)$", "${1}:${2}")
    )
    has_offset = text.str.contains(r"T.*[+-]\d\d:\d\d$")
    text = pl.when(has_offset).then(text).otherwise(text + "+00:00")
    return text.str.to_datetime(_TEXT_FORMAT, time_unit="us", strict=True).dt.convert_time_zone("UTC")


def in_utc(moment: datetime) -> datetime:
    """Return the moment with zone UTC; one without a zone is taken as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def roughly_within(column: str, dtype: pl.DataType, earliest: datetime | None, latest: datetime | None) -> pl.Expr:
    """Return a predicate on the raw column that keeps at least all rows between the two moments.

    It compares the stored column itself with a literal of its own type, so file and row-group statistics can answer
    it before anything is read. Text columns and open ends are not narrowed.
    """
    keep = pl.lit(True)
    if dtype != pl.Date and not isinstance(dtype, pl.Datetime):
        return keep
    if earliest is not None and (bound := _bound(earliest, -_SLACK, dtype)) is not None:
        keep = keep & (pl.col(column) >= _literal(bound, dtype))
    if latest is not None and (bound := _bound(latest, _SLACK, dtype)) is not None:
        keep = keep & (pl.col(column) <= _literal(bound, dtype))
    return keep


def _bound(moment: datetime, by: timedelta, dtype: pl.DataType) -> datetime | None:
    try:
        moved = in_utc(moment) + by
    except OverflowError:  # beyond year 1 or 9999: no bound is needed there
        return None
    if isinstance(dtype, pl.Datetime) and dtype.time_unit == "ns" and not _FIRST_NS < moved < _LAST_NS:
        return None  # a column of nanoseconds cannot reach that far
    return moved


def _literal(moment: datetime, dtype: pl.DataType) -> pl.Expr:
    if not isinstance(dtype, pl.Datetime):
        return pl.lit(date(moment.year, moment.month, moment.day), dtype=pl.Date)
    plain = pl.lit(moment.replace(tzinfo=None), dtype=pl.Datetime(dtype.time_unit))
    if dtype.time_zone is None:
        return plain
    return plain.dt.replace_time_zone("UTC").dt.convert_time_zone(dtype.time_zone)
