"""Reading less: what a view can leave unread, given the entity rows that will be joined to it.

Pruning never changes an answer: it drops rows that no entity row could be given.
"""

from dataclasses import replace
from datetime import datetime

import polars as pl

from mlops_platform.point_in_time.times import in_utc, roughly_within
from mlops_platform.point_in_time.view_frame import ViewFrame, check_columns, key_types


def pruned(
    view: ViewFrame, *, earliest: datetime | None, latest: datetime | None, entities: pl.LazyFrame | None = None
) -> ViewFrame:
    """Return the view without rows outside the time range of the entity frame, or with none of its keys.

    Args:
        view: The view.
        earliest: Earliest entity time (rows older than it by more than the view's ttl are dropped), or None.
        latest: Latest entity time (rows with a later event time are dropped), or None.
        entities: The entity frame, if its keys are few enough for a semi-join of them to pay; else None.

    Returns:
        The view over fewer rows, in the same order.

    Raises:
        PointInTimeError: As `join_as_of`, if the view does not fit the entity frame.
    """
    rows = view.frame
    schema = check_columns(view)
    oldest = None
    if earliest is not None and view.ttl:
        try:
            oldest = in_utc(earliest) - view.ttl
        except OverflowError:  # the ttl reaches back before year 1: everything is young enough
            oldest = None
    rows = rows.filter(roughly_within(view.event_timestamp, schema[view.event_timestamp], oldest, latest))
    if entities is not None and view.keys:
        types = key_types(view, entities.collect_schema(), schema)
        names = [f"__pit_key_{number}" for number in range(len(types))]
        wanted = entities.select(
            pl.col(column).cast(dtype, strict=False).alias(name)
            for name, (column, dtype) in zip(names, types.items(), strict=True)
        ).unique()
        own = [pl.col(view.keys[column]).cast(dtype, strict=False) for column, dtype in types.items()]
        rows = rows.join(wanted, left_on=own, right_on=names, how="semi", maintain_order="left")
    return replace(view, frame=rows)
