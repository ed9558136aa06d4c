"""The columns of the prediction log, the same for batch and live answers.

| column | type | what |
|---|---|---|
| ``prediction_id`` | String | ``p-…`` of a batch answer, ``o-…`` of a live one |
| ``example_id`` | String | which example; null where a caller named none; hashed where it is personal |
| ``event_timestamp`` | Datetime us UTC | the time of the question |
| ``score`` | Float32, List(Float32) of a forecast | the answer |
| ``model``, ``version``, ``checkpoint`` | String | what answered |
| ``batch``, ``run_id`` | String | of a batch answer: its batch, the Dagster run that gave it; null of a live one |
| ``answered_at`` | Datetime us UTC | when |
| ``_partition`` | String | day in UTC: of the example of a batch answer, of the answer of a live one |
| ``mode`` | String | ``batch`` or ``online``; null in rows older than the column: ``batch`` |
| ``role`` | String | ``champion``, ``canary`` or ``shadow``; null: ``champion`` |
| ``inputs`` | String | JSON of the example of a live answer: keys, context, carried; personal ones hashed or left out |
| ``features`` | String | JSON ``{table__column: value}`` of what a live answer used |
| ``feature_times`` | String | JSON ``{table: {event, known, status}}``; null where the caller gave the features |
| ``marks`` | String | JSON: features that were missing, stale or filled, and the ``state`` gone on from; null: none |
| ``online`` | String | digest of what the online store stood for when features were fetched; it cites table versions |

What a batch answer used is in the ``predictions`` artifact of its batch, so its JSON columns are null.
"""

import polars as pl

from mlops_platform.resources.delta import PARTITION
from mlops_platform.spec import Forecast, Model

_UTC = pl.Datetime("us", "UTC")
SHADOW = "shadow"


def log_schema(model: Model) -> pl.Schema:
    """Columns and types of a model's prediction log."""
    text = dict.fromkeys(("model", "version", "checkpoint", "batch", "run_id"), pl.String())
    later = dict.fromkeys(("mode", "role", "inputs", "features", "feature_times", "marks", "online"), pl.String())
    # Delta has lists and no arrays.
    score = pl.List(pl.Float32()) if isinstance(model.task, Forecast) else pl.Float32()
    return pl.Schema({
        "prediction_id": pl.String(), "example_id": pl.String(), "event_timestamp": _UTC, "score": score, **text,
        "answered_at": _UTC, PARTITION: pl.String(), **later,
    })  # fmt: skip


def log_rows(model: Model, frame: pl.DataFrame, /, **same: object) -> pl.DataFrame:
    """A frame as rows of the log: columns that neither it nor ``same`` has are null, each has its type.

    Args:
        model: The declaration.
        frame: Some columns of the log; others are not taken.
        same: Values that all rows share.
    """
    schema = log_schema(model)
    columns = [pl.col(n) if n in frame.columns and n not in same else pl.lit(same.get(n)).alias(n) for n in schema]
    return frame.select(columns).cast(dict(schema))  # type: ignore[arg-type]


def answered(log: pl.LazyFrame) -> pl.LazyFrame:
    """The rows of the log that somebody was answered with: all but those of role ``shadow``.

    Logs that no live answer has come to yet may not have the column.
    """
    if "role" not in log.collect_schema():
        return log
    return log.filter(pl.col("role").ne_missing(pl.lit(SHADOW)))
