"""Logged answers beside the labels that have become known since."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from mlops_platform.errors import PlatformError
from mlops_platform.resources.prediction_log.schema import answered

Ids = Callable[[pl.Series], pl.Series]


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """One checkpoint's answers, an answer an example.

    Attributes:
        rows: ``example_id``, ``event_timestamp``, ``score`` and ``label`` (Int8; both arrays of Float32 of forecasts)
            of each whose label is known, by time and id.
        answers: How many examples were answered, labelled or not.
        repeated: Rows of the log that are older answers to an example answered again.
    """

    rows: pl.DataFrame
    answers: int
    repeated: int


def labelled_answers(log: pl.LazyFrame, checkpoint: str, examples: pl.LazyFrame, *, identity: str,
                     logged_ids: Ids | None = None) -> Labelled:  # fmt: skip
    """Joins a checkpoint's answers with their labels.

    An example that was answered more than once counts once, with its newest answer: that one stood when it happened.
    A label that was corrected counts as the newest known version has it. What a version answered as a shadow nobody
    got, so it never counts, not even when that version is champion later; what it answered as a canary counts for it.
    Answers to questions that named no example have no label.

    Args:
        log: The prediction log.
        checkpoint: Digest; answers of others are not read.
        examples: ``identity``, ``label``, ``label_known_timestamp``, as ``Examples.labelled`` makes them.
        identity: Column of the example's id.
        logged_ids: Ids of examples as the log has them, where they are personal; None: as they are.
    """
    columns = ("prediction_id", "example_id", "event_timestamp", "score", "answered_at")
    own = answered(log).filter((pl.col("checkpoint") == checkpoint) & pl.col("example_id").is_not_null())
    logged = own.select(columns).collect()
    newest = logged.sort("answered_at", "prediction_id").unique("example_id", keep="last", maintain_order=True)
    kind = examples.collect_schema()["label"]
    forecast = isinstance(kind, pl.Array)
    labels = labels_of(newest.select("example_id"), examples, identity=identity, logged_ids=logged_ids)
    score = pl.col("score").cast(kind) if forecast else pl.col("score")
    rows = newest.select("example_id", "event_timestamp", score).join(labels, on="example_id", how="inner")
    return Labelled(rows=rows.sort("event_timestamp", "example_id"), answers=newest.height,
                    repeated=logged.height - newest.height)  # fmt: skip


def labels_of(asked: pl.DataFrame, examples: pl.LazyFrame, *, identity: str,
              logged_ids: Ids | None = None) -> pl.DataFrame:  # fmt: skip
    """``example_id`` and ``label`` (Int8, or an array of Float32 of forecasts) of those asked whose label is known.

    Args:
        asked: ``example_id``.
        examples: ``identity``, ``label``, ``label_known_timestamp``, as ``Examples.labelled`` makes them.
        identity: Column of the example's id.
        logged_ids: As of ``labelled_answers``.
    """
    kind = examples.collect_schema()["label"]
    label = pl.col("label").cast(kind if isinstance(kind, pl.Array) else pl.Int8)
    known = examples.select(pl.col(identity).alias("example_id"), label, "label_known_timestamp")
    if logged_ids is not None:
        told = known.collect()
        known = told.with_columns(logged_ids(told["example_id"].cast(pl.String))).lazy()
    return _newest_labels(known.join(asked.lazy(), on="example_id", how="semi").collect())


def _newest_labels(known: pl.DataFrame) -> pl.DataFrame:
    """``example_id`` and ``label``, the version known last of each; an example whose label was withdrawn has none."""
    latest = pl.col("label_known_timestamp").max().over("example_id")
    newest = known.unique().filter(latest.is_null() | (pl.col("label_known_timestamp") == latest))
    disputed = newest.filter(pl.len().over("example_id") > 1)["example_id"].unique().sort()
    if not disputed.is_empty():
        raise PlatformError(
            required="one label of an example to be known last",
            found=f"{len(disputed)} examples with both labels known at one time, {disputed[0]} among them",
            remedy="let Examples.labelled choose the version that holds",
        )
    return newest.filter(pl.col("label").is_not_null()).select("example_id", "label")
