"""A question of real values for whoever starts the service and wants to see an answer."""

import logging
from datetime import datetime
from typing import Any

import polars as pl

from mlops_platform.errors import PlatformError
from mlops_platform.resources.delta import PARTITION, DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.prediction_log.personal import personal_columns
from mlops_platform.resources.source_code import resolve
from mlops_platform.serving.http.asking import Asked
from mlops_platform.serving.http.columns import ID, entity_columns, row_columns
from mlops_platform.serving.http.decoding import rows_frame
from mlops_platform.serving.http.errors import Refused
from mlops_platform.serving.http.service import Live
from mlops_platform.spec import Project, RawTable

_LOG = logging.getLogger(__name__)
_MONTHS = 2


def body_to_ask(home: Home, project: Project, name: str, live: Live) -> dict[str, Any] | None:
    """A request about what is to be predicted next after all that has happened, so that its features are as fresh as
    the home has them: ``rows`` with a raw row, or ``entities`` where the project makes no question of a single one.

    Values of personal columns are left out. None where there is no row, or none that a question can be made of.
    """
    from deltalake.exceptions import DeltaError

    model = project.model(name)
    table = project.raw_table(model.examples.upcoming_source)
    happened, ahead = (DeltaDoor(home.raw_table(project.name, each)) for each in (model.examples.source, table.name))
    try:
        if not (happened.exists and ahead.exists):
            return None
        after = _newest(happened)
        row = _next(ahead, table, after)
        if row is None:
            return None
        asked = Asked(project=project, model=model, live=live)
        try:
            asked.question("rows", rows_frame(row_columns(project, model), [row], "rows", 1))
        except Refused:
            row = _example(asked, happened, ahead)
            if row is None:
                return None
            asked.question("entities", rows_frame(entity_columns(project, model), [row], "entities", 1))
            return {"entities": [row]}
        return {"rows": [row]}
    except (PlatformError, DeltaError, OSError, pl.exceptions.PolarsError) as error:
        # The service answers all the same; only the line that shows how to ask is missing.
        _LOG.warning("no example of a question can be shown: %s", type(error).__name__)
        return None


def _newest(table: DeltaDoor, made: str | None = None) -> datetime | None:
    """The newest event of a table, or of what a function of the project makes of it; only its last month is read."""
    months = _months(table)
    newest: datetime | None = None
    if months:
        rows = table.scan().filter(pl.col(PARTITION) == months[-1])
        newest = (
            (resolve(made)(rows) if made is not None else rows).select(pl.col("event_timestamp").max()).collect().item()
        )
    return newest


def _months(table: DeltaDoor) -> list[str]:
    from deltalake import DeltaTable

    return sorted({each[PARTITION] for each in DeltaTable(table.path).partitions()})


def _next(ahead: DeltaDoor, table: RawTable, after: datetime | None) -> dict[str, Any] | None:
    """The first row after a time, or the newest where none is."""
    rows = _months_after(ahead, after)
    frame = rows.select("event_timestamp", *(column.name for column in table.columns)).collect()
    frame = frame.sort("event_timestamp", *table.key)
    coming = frame.filter(pl.col("event_timestamp") > after) if after is not None else frame.clear()
    chosen = coming.head(1) if coming.height else frame.tail(1)
    values = chosen.to_dicts()[0] if chosen.height else None
    if values is None:
        return None
    return {column.name: None if column.personal else _plain(values[column.name]) for column in table.columns}


def _months_after(ahead: DeltaDoor, after: datetime | None) -> pl.LazyFrame:
    months = _months(ahead)
    later = [month for month in months if after is not None and month >= f"{after:%Y-%m}"]
    return ahead.scan().filter(pl.col(PARTITION).is_in(later[:_MONTHS] or months[-1:]))


def _example(asked: Asked, happened: DeltaDoor, ahead: DeltaDoor) -> dict[str, Any] | None:
    """The first example after all that has happened, which a model of sequences has gone through."""
    model = asked.model
    after = _newest(happened, model.examples.labelled)
    made = resolve(model.examples.upcoming)(_months_after(ahead, after))
    if after is not None:
        made = made.filter(pl.col("event_timestamp") > after)
    first = made.sort("event_timestamp", model.examples.id).head(1).collect().rename({model.examples.id: ID})
    personal = personal_columns(asked.project, model)
    hidden = {ID if name == model.examples.id else name for name in personal.hashed | personal.left_out}
    told = [column.name for column in entity_columns(asked.project, model) if column.name not in hidden]
    values = first.to_dicts()[0] if first.height else None
    return {name: _plain(values[name]) for name in told if name in values} if values is not None else None


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return None if isinstance(value, float) and value != value else value
