"""Live answers as the prediction log has them: a sample of a day, its JSON columns as typed columns again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from mlops_platform.monitoring.skew.sample import spread
from mlops_platform.resources.delta import PARTITION, POLARS_TYPES
from mlops_platform.spec import Model, Project

DAY = timedelta(days=1)
ID, TIME, ANSWERED = "prediction_id", "event_timestamp", "answered_at"
EVENT, KNOWN, STATUS = "event", "known", "status"
_UTC = pl.Datetime("us", "UTC")
_JSON = ("inputs", "features", "feature_times", "marks")
_AS_WRITTEN: Mapping[str, pl.DataType] = {"float32": pl.Float64(), "timestamp": pl.String(), "int8": pl.Int64()}


@dataclass(frozen=True, kw_only=True)
class Logged:
    """A sample of one day's live answers, by time of the answer.

    Attributes:
        rows: ``prediction_id``, ``answered_at``, ``event_timestamp`` and the entity keys, N rows.
        features: Values that the online store gave, by ``table__column``; null where a policy filled one in.
        times: By feature table, a struct of ``event`` and ``known`` (Datetime us UTC) and ``status``, as logged.
        answers: How many answers with fetched features the day had.
        since, until: The day, up to its newest answer.
    """

    rows: pl.DataFrame
    features: pl.DataFrame
    times: pl.DataFrame
    answers: int
    since: datetime
    until: datetime


def newest_answer(log: pl.LazyFrame) -> datetime | None:
    """When the newest live answer with fetched features was given; None before the first."""
    if "mode" not in log.collect_schema():
        return None
    newest: datetime | None = _live(log).select(pl.col(ANSWERED).max()).collect().item()
    return newest


def sampled_answers(log: pl.LazyFrame, project: Project, model: Model, keys: Mapping[str, pl.DataType], *, rows: int,
                    until: datetime) -> Logged:  # fmt: skip
    """Answers of the day up to a moment, evenly spaced among them; those of a shadow are among them.

    Args:
        log: The prediction log.
        project, model: The declarations.
        keys: Dtype of each entity key in the feature tables.
        rows: At most so many.
        until: The moment, UTC.
    """
    since = until - DAY
    recent = _live(log).filter(
        pl.col(PARTITION) >= since.strftime("%Y-%m-%d"), pl.col(ANSWERED).is_between(since, until, closed="right")
    )
    ids = recent.select(ID, ANSWERED).collect().sort(ANSWERED, ID)
    chosen = ids[ID].gather(pl.Series(spread(ids.height, rows)))
    found = recent.filter(pl.col(ID).is_in(chosen.implode())).select(ID, ANSWERED, TIME, *_JSON).collect()
    found = found.sort(ANSWERED, ID)
    told = _decoded(found["inputs"], keys)
    columns = {f"{table}__{column.name}": column.dtype
               for table, group in project.feature_columns(model).items() for column in group}  # fmt: skip
    written = {name: _AS_WRITTEN.get(dtype, POLARS_TYPES[dtype]) for name, dtype in columns.items()}
    features = _decoded(found["features"], written).select(_as_declared(name, dtype) for name, dtype in columns.items())
    return Logged(
        rows=found.select(ID, ANSWERED, TIME).hstack(told), features=_unfilled(features, found["marks"]),
        times=_times(found["feature_times"], list(project.feature_columns(model))), answers=ids.height, since=since,
        until=until,
    )  # fmt: skip


def _live(log: pl.LazyFrame) -> pl.LazyFrame:
    return log.filter(pl.col("mode") == "online", pl.col("feature_times").is_not_null())


def _decoded(texts: pl.Series, columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Members of JSON objects as columns; one that an object lacks is null."""
    return texts.str.json_decode(pl.Struct(dict(columns))).struct.unnest()


def _as_declared(name: str, dtype: str) -> pl.Expr:
    value = pl.col(name)
    return value.str.to_datetime(time_unit="us", time_zone="UTC") if dtype == "timestamp" else value.cast(
        POLARS_TYPES[dtype])  # fmt: skip


def _unfilled(features: pl.DataFrame, marks: pl.Series) -> pl.DataFrame:
    """Values without the defaults that a policy put in the place of missing and stale ones."""
    told = _decoded(marks.fill_null("{}"), dict.fromkeys(features.columns, pl.String()))
    filled = {name: told[name].str.starts_with("default").fill_null(False) for name in features.columns}
    return features.with_columns(
        pl.when(~filled[name]).then(pl.col(name)).alias(name) for name in features.columns if filled[name].any()
    )


def _times(texts: pl.Series, tables: list[str]) -> pl.DataFrame:
    inner = pl.Struct({EVENT: pl.String(), KNOWN: pl.String(), STATUS: pl.String()})
    found = _decoded(texts, dict.fromkeys(tables, inner))
    moments = (EVENT, KNOWN)
    return found.select(
        pl.struct(
            *(pl.col(table).struct.field(name).str.to_datetime(time_unit="us", time_zone="UTC").alias(name)
              for name in moments),
            pl.col(table).struct.field(STATUS),
        ).alias(table)
        for table in tables
    )  # fmt: skip
