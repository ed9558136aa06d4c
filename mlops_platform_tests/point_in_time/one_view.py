"""One view with one key and one feature, and what it answers: what the tests of the engine ask most."""

from datetime import UTC, datetime
from typing import Any

import polars as pl

from mlops_platform.point_in_time import ViewFrame, join_as_of

T = datetime(2024, 3, 1, 12, tzinfo=UTC)


def facts(*rows: dict[str, Any], **options: Any) -> ViewFrame:
    """A view with key `k` and feature `x`; `known` is its known timestamp if any row has one."""
    known = any("known" in row for row in rows)
    frame = pl.DataFrame([{"k": 1, **row} for row in rows], infer_schema_length=None).lazy()
    known_timestamp = "known" if known else None
    given = {"keys": {"k": "k"}, "event_timestamp": "event", "known_timestamp": known_timestamp, **options}
    return ViewFrame(name="v", frame=frame, features={"x": "x"}, **given)


def ask(view: ViewFrame, *times: Any, key: Any = 1) -> list[Any]:
    """What the view answers one key at each time."""
    entities = pl.DataFrame({"k": [key] * len(times), "at": list(times)})
    return join_as_of(entities.lazy(), [view], event_timestamp="at").collect()["x"].to_list()
