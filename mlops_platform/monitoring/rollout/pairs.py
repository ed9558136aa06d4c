"""Live questions that both versions of a rollout answered, side by side."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from mlops_platform.monitoring.labelled import Ids, labels_of
from mlops_platform.resources.prediction_log.ids import COUNT

_KEY = ("answered_at", "worker", "place")
_WORKER = rf"-([0-9a-z]+)[0-9a-f]{{{COUNT}}}$"


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Both versions' answers.

    Attributes:
        answered: ``example_id``, ``event_timestamp``, ``answered_at``, ``champion`` and ``challenger`` (scores) of each
            row that both answered in one question, by time.
        labelled: ``example_id``, ``event_timestamp``, ``champion``, ``challenger`` and ``label`` of each example whose
            label is known, by time and id; of one that was asked about more than once its newest pair.
    """

    answered: pl.DataFrame
    labelled: pl.DataFrame


def pairs(log: pl.LazyFrame, examples: pl.LazyFrame, *, identity: str, champion: str, challenger: str,
          since: datetime, logged_ids: Ids | None = None) -> Pairs:  # fmt: skip
    """Finds the rows that both versions answered, and joins their labels.

    A question gets one ``answered_at`` and each of its rows an id in the order of the rows; what the shadow answered to
    it has the same time and order. So the n-th row that one version answered is the n-th of the other.

    Args:
        log: The prediction log.
        examples: ``identity``, ``label``, ``label_known_timestamp``, as ``Examples.labelled`` makes them.
        identity: Column of the example's id.
        champion, challenger: Digests of their checkpoints.
        since: Answers of before the rollout do not count.
        logged_ids: As of ``labelled_answers``.
    """
    kind = examples.collect_schema()["label"]
    found = _answered(log, champion, challenger, since)
    if isinstance(kind, pl.Array):
        found = found.with_columns(pl.col("champion", "challenger").cast(kind))
    named = found.filter(pl.col("example_id").is_not_null())
    newest = named.unique("example_id", keep="last", maintain_order=True)
    labels = labels_of(newest.select("example_id"), examples, identity=identity, logged_ids=logged_ids)
    labelled = newest.drop("answered_at").join(labels, on="example_id", how="inner")
    return Pairs(answered=found, labelled=labelled.sort("event_timestamp", "example_id"))


def _answered(log: pl.LazyFrame, champion: str, challenger: str, since: datetime) -> pl.DataFrame:
    columns = ("prediction_id", "example_id", "event_timestamp", "score", "answered_at", "checkpoint")
    known = log.collect_schema()
    live = log if "role" in known else log.with_columns(role=pl.lit(None, dtype=pl.String))
    both = pl.col("checkpoint").is_in([champion, challenger]) & pl.col("prediction_id").str.starts_with("o-")
    rows = live.filter(both & (pl.col("answered_at") >= since)).select(*columns, "role").collect()
    rows = rows.sort("answered_at", "prediction_id").with_columns(
        worker=pl.col("prediction_id").str.extract(_WORKER),
        place=pl.int_range(pl.len()).over("answered_at", pl.col("prediction_id").str.extract(_WORKER), "role",
                                          order_by="prediction_id"),
    )  # fmt: skip
    shadow = pl.col("role") == "shadow"
    own, other = pl.col("checkpoint") == champion, pl.col("checkpoint") == challenger
    # Of a shadow the challenger's answers are seen by nobody; of a canary, beside each of its answers, the champion's.
    sides = [
        (rows.filter((pl.col("role") == "champion") & own), rows.filter(shadow & other)),
        (rows.filter(shadow & own), rows.filter((pl.col("role") == "canary") & other)),
    ]
    found = [_beside(first, second) for first, second in sides]
    return pl.concat(found).sort("answered_at", "worker", "place").drop("worker", "place")


def _beside(champion: pl.DataFrame, challenger: pl.DataFrame) -> pl.DataFrame:
    """Rows of one question and place; those that are not about one example and time are of no pair."""
    scored = challenger.select(*_KEY, pl.col("score").alias("challenger"), other_id="example_id",
                               other_time="event_timestamp")  # fmt: skip
    same = pl.col("example_id").eq_missing(pl.col("other_id")) & (pl.col("event_timestamp") == pl.col("other_time"))
    return champion.join(scored, on=_KEY, how="inner").filter(same).select(
        "example_id", "event_timestamp", "answered_at", pl.col("score").alias("champion"), "challenger", "worker",
        "place",
    )  # fmt: skip
