"""Batch predictions: the champion answers for the day after the newest examples."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import polars as pl

from mlops_platform.manifest import TableRef
from mlops_platform.resources.delta import PARTITION, DeltaDoor
from mlops_platform.resources.feast import FeastDoor
from mlops_platform.resources.prediction_log.personal import Personal
from mlops_platform.resources.prediction_log.schema import log_rows
from mlops_platform.resources.source_code import resolve
from mlops_platform.scoring import Scorer
from mlops_platform.serving.identity import batch_prediction_id
from mlops_platform.spec import Forecast, Model


def next_day(model: Model, examples: pl.LazyFrame) -> date:
    """The calendar day after the newest example's, in the model's calendar.

    Args:
        model: The declaration.
        examples: Raw rows of what has happened.
    """
    newest = resolve(model.examples.labelled)(examples).select(pl.col("event_timestamp").max()).collect().item()
    local: datetime = pl.select(pl.lit(newest).dt.convert_time_zone(model.examples.calendar)).item()
    return local.date() + timedelta(days=1)


def upcoming(model: Model, rows: pl.LazyFrame, day: date) -> pl.DataFrame:
    """Examples whose prediction time falls on a day, in the model's calendar, by time and id."""
    local = pl.col("event_timestamp").dt.convert_time_zone(model.examples.calendar).dt.date()
    found = resolve(model.examples.upcoming)(rows).filter(local == day)
    return found.sort("event_timestamp", model.examples.id).collect()


def earlier_rows(model: Model, columns: Sequence[str], feast: FeastDoor, tables: Mapping[str, TableRef],
                 past: pl.LazyFrame) -> pl.DataFrame:  # fmt: skip
    """What a program of sequences goes through before it answers: all that has happened, with its features.

    Args:
        model: The declaration.
        columns: Of an example.
        feast, tables: Where features come from, at which versions.
        past: Raw rows of what has happened.
    """
    return feast.with_features(model, resolve(model.examples.labelled)(past).select(columns).collect(), tables)


def predict(model: Model, examples: pl.DataFrame, feast: FeastDoor, tables: Mapping[str, TableRef], scorer: Scorer,
            batch: str, earlier: pl.DataFrame | None, private: Personal) -> pl.DataFrame:  # fmt: skip
    """Scores examples with the features known at their time.

    Args:
        model: The declaration.
        examples: One row an answer.
        feast, tables: Where features come from, at which versions.
        scorer: Of the model.
        batch: Digest of all that the answers depend on; part of each prediction id.
        earlier: Rows that a program of sequences goes through before it answers; None of one of rows.
        private: Takes what is personal out of the ids.

    Returns:
        ``prediction_id``, the examples' columns, the features, and ``score`` (Float32; of a forecast an array of them).
    """
    frame = feast.with_features(model, examples, tables)
    horizon = model.task.horizon if isinstance(model.task, Forecast) else None
    number = pl.Array(pl.Float32, horizon) if horizon else pl.Float32
    scores = pl.Series("score", scorer.score(frame, earlier), dtype=number)
    return frame.with_columns(scores).insert_column(0, batch_ids(batch, examples, private))


def batch_ids(batch: str, examples: pl.DataFrame, private: Personal) -> pl.Series:
    """Prediction ids of a batch, which tell nothing of a personal example to who has not the key."""
    examples_logged = private.example_ids(examples[private.model.examples.id])
    ids = [batch_prediction_id(batch, example) for example in examples_logged]
    return pl.Series("prediction_id", ids, dtype=pl.String)


def log_predictions(log: DeltaDoor, answers: pl.DataFrame, *, model: Model, version: str, checkpoint: str, batch: str,
                    run_id: str, private: Personal) -> None:  # fmt: skip
    """Appends answers to the prediction log, once for each batch.

    Args:
        log: The prediction log.
        answers: From ``predict``.
        model: The declaration.
        version, checkpoint: What answered.
        batch: Digest of all that the answers depend on; their commit is marked with it.
        run_id: Dagster run.
        private: Takes what is personal out of what is logged.
    """
    if log.has_transaction(batch):
        return
    frame = answers.select(
        "prediction_id",
        private.example_ids(answers[model.examples.id]).alias("example_id"),
        "event_timestamp",
        "score",
        pl.col("event_timestamp").dt.strftime("%Y-%m-%d").alias(PARTITION),
    )
    rows = log_rows(model, frame, model=model.name, version=version, checkpoint=checkpoint, batch=batch, run_id=run_id,
                    answered_at=datetime.now(UTC), mode="batch", role="champion")  # fmt: skip
    log.append(rows, transactions=[batch], may_widen=True)
