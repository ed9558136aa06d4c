"""The entity frame a caller hands to Feast, as polars, with its time column found and read."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa

from mlops_platform.point_in_time.errors import PointInTimeError
from mlops_platform.point_in_time.times import as_utc

DEFAULT_TIME = "event_timestamp"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EntityFrame:
    """The entity rows and their time.

    Attributes:
        rows: The frame; its time column is `Datetime("us", "UTC")`.
        event_timestamp: Name of the time column.
        earliest: Earliest time, or None if there is none.
        latest: Latest time, likewise.
        notes: What `explain` should say of the rows.
    """

    rows: pl.DataFrame
    event_timestamp: str
    earliest: datetime | None
    latest: datetime | None
    notes: tuple[str, ...] = ()


def read_entities(given: Any) -> EntityFrame:
    """Read an entity frame.

    Args:
        given: A pandas, polars (eager or lazy) or Arrow frame. In pandas, NaN means null and the index is ignored.

    Returns:
        The frame in polars. The time column is `event_timestamp`, else the only datetime column there is.

    Raises:
        PointInTimeError: SQL text, another kind of frame, no time column or several, a text that is no time.
    """
    rows = _as_polars(given)
    event_timestamp, inferred = _time_column(rows)
    try:
        rows = rows.with_columns(as_utc(event_timestamp, rows.schema[event_timestamp], where="entity frame"))
    except pl.exceptions.PolarsError as found:
        raise PointInTimeError(
            f"entity frame: the text in {event_timestamp!r} is not all ISO 8601 times: {found}"
        ) from found
    if inferred:
        _log.warning("Using %r as the event timestamp: it is the only datetime column.", event_timestamp)
    times = rows[event_timestamp]
    earliest, latest = times.min(), times.max()
    assert earliest is None or isinstance(earliest, datetime)
    assert latest is None or isinstance(latest, datetime)
    notes = (f"entity time: {event_timestamp!r}, the only datetime column",) if inferred else ()
    return EntityFrame(rows=rows, event_timestamp=event_timestamp, earliest=earliest, latest=latest, notes=notes)


def _as_polars(given: Any) -> pl.DataFrame:
    if isinstance(given, pl.DataFrame):
        return given
    if isinstance(given, pl.LazyFrame):
        return given.collect()
    if isinstance(given, pa.Table):
        return pl.DataFrame(pl.from_arrow(given))
    if isinstance(given, pd.DataFrame):
        return pl.from_pandas(given)
    if isinstance(given, str):
        raise PointInTimeError(
            "entity frame: SQL text is not run by PolarsOfflineStore. Run the query yourself and hand over the rows "
            "as a pandas, polars or Arrow frame."
        )
    raise PointInTimeError(
        f"entity frame: required is a pandas, polars or Arrow frame; found {type(given).__name__}. Convert it."
    )


def _time_column(rows: pl.DataFrame) -> tuple[str, bool]:
    if DEFAULT_TIME in rows.columns:
        return DEFAULT_TIME, False
    times = [name for name, dtype in rows.schema.items() if isinstance(dtype, pl.Datetime)]
    if len(times) == 1:
        return times[0], True
    found = ", ".join(f"{name}: {dtype}" for name, dtype in rows.schema.items())
    raise PointInTimeError(
        f"entity frame: no column {DEFAULT_TIME!r}, and {len(times)} datetime columns {times} instead of one; "
        f"found {found}. Rename the column that holds each row's time to {DEFAULT_TIME!r}."
    )
