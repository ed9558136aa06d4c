"""Retrieval by dates: the entity rows that a range of time stands for."""

from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl
from feast.feature_view import FeatureView
from feast.utils import compute_non_entity_date_range

from mlops_platform.point_in_time.errors import PointInTimeError
from mlops_platform.point_in_time.feast_entities import DEFAULT_TIME, EntityFrame
from mlops_platform.point_in_time.times import as_utc, in_utc, roughly_within
from mlops_platform.point_in_time.view_frame import ViewFrame, check_columns

_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


def date_range(views: Sequence[FeatureView], start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    """Return the range asked for, in UTC, with Feast's defaults.

    Args:
        views: The views asked for.
        start: First moment; without one, the longest ttl of the views before the end, or 30 days if none has a ttl.
        end: Last moment; without one, now. No zone means UTC.

    Raises:
        PointInTimeError: The start is after the end.
    """
    if start is not None and end is not None and in_utc(start) > in_utc(end):
        raise PointInTimeError(f"retrieval by dates: required is start_date <= end_date; found {start} > {end}.")
    try:
        first, last = compute_non_entity_date_range(list(views), start_date=start, end_date=end)
    except OverflowError:  # a ttl that reaches back before year 1
        first, last = _LONG_AGO, end or datetime.now(UTC)
    return in_utc(first), in_utc(last)


def entities_between(views: Sequence[ViewFrame], start: datetime, end: datetime) -> EntityFrame:
    """Return an entity row for every (keys, event time) of the views within `[start, end]`, both ends included.

    Args:
        views: The views to be joined. Each gives the distinct pairs of its own source; the rows of all are put
            together, a key that a view does not have being null, so that what cannot be known of a row stays null. A
            view without keys adds rows only if no view has keys: a row without keys asks about nobody. Only keys and
            times are read, at once.
        start: First moment.
        end: Last moment.

    Returns:
        The join keys, then `event_timestamp`; distinct, ordered by time and keys. Rows with a null key of their own
        view or without an event time are left out, since nothing could be joined to them.

    Raises:
        PointInTimeError: A column is missing, the key of two views differs in type, or the rows cannot be read.
    """
    asked = [view for view in views if view.keys] or list(views)
    types = _key_types(asked)
    parts = [_pairs(view, types, start, end) for view in asked]
    try:
        rows = pl.concat(parts, how="diagonal").unique().sort(DEFAULT_TIME, *types).collect()
    except (OSError, pl.exceptions.PolarsError) as found:
        names = ", ".join(repr(view.name) for view in asked)
        raise PointInTimeError(f"retrieval by dates: reading the keys and times of {names} failed: {found}") from found
    note = f"entity rows: every ({', '.join([*types, 'event time'])}) from {start} to {end}, both included"
    return EntityFrame(
        rows=rows.select(*types, DEFAULT_TIME), event_timestamp=DEFAULT_TIME, earliest=start, latest=end, notes=(note,)
    )


def _pairs(view: ViewFrame, types: dict[str, pl.DataType], start: datetime, end: datetime) -> pl.LazyFrame:
    schema = check_columns(view)
    event = view.event_timestamp
    keys = [pl.col(column).cast(types[key]).alias(key) for key, column in view.keys.items()]
    time = as_utc(event, schema[event], where=f"view {view.name!r}").alias(DEFAULT_TIME)
    return (
        view.frame.filter(roughly_within(event, schema[event], start, end))
        .select(*keys, time)
        .filter(pl.col(DEFAULT_TIME).is_between(start, end))
        .drop_nulls(list(view.keys) or None)
        .unique()
    )


def _key_types(views: Sequence[ViewFrame]) -> dict[str, pl.DataType]:
    types: dict[str, pl.DataType] = {}
    owners: dict[str, str] = {}
    for view in views:
        schema = check_columns(view)
        for key, column in view.keys.items():
            found = schema[column]
            plain = pl.String() if isinstance(found, pl.Categorical | pl.Enum) else found
            before = types.get(key, plain)
            if before.is_integer() and plain.is_integer():
                same = before == plain
                types[key] = plain if same else pl.Int64()
            elif before == plain:
                types[key] = plain
            else:
                raise PointInTimeError(
                    f"view {view.name!r}: the key {key!r} is {found}, but in view {owners[key]!r} it is {before}. "
                    f"Values are never converted silently: store the key in one type in both."
                )
            owners.setdefault(key, view.name)
    return types
