"""What a dataset has to teach that another one had not."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from mlops_platform.errors import MissingArtifactError
from mlops_platform.resources.artifacts import Artifact, ArtifactStore

PARTS = ("train", "validation", "holdout")


@dataclass(frozen=True, kw_only=True)
class News:
    """The difference between two datasets.

    Attributes:
        rows: Labelled examples that the earlier one has not, or has with another label; those left out of it only since
            they lay in an embargo of its split are no news.
        span: From its newest example to the newest there is now; zero where time did not move.
        earlier_is_gone: Whether the earlier one is no longer in the store, so that every row counts as new.
    """

    rows: int
    span: timedelta
    earlier_is_gone: bool = False


def news_between(store: ArtifactStore, newer: str, earlier: str | None, id_column: str) -> News:
    """Compares two datasets by id and label.

    Args:
        store: Where they are.
        newer: Digest of the dataset there is now.
        earlier: Digest of the one trained on; None where nothing was.
        id_column: Column that identifies an example.
    """
    now = _labelled(store.open("dataset", newer), id_column)
    try:
        known = store.open("dataset", earlier) if earlier is not None else None
    except MissingArtifactError:
        known = None
    if known is None:
        return News(rows=_count(now), span=timedelta(0), earlier_is_gone=earlier is not None)
    before, newest = _labelled(known, id_column), pl.col("event_timestamp").max()
    span = now.select(newest).collect().item() - before.select(newest).collect().item()
    fresh = now.filter(~_embargoed(known)).join(before, on=[id_column, "label"], how="anti", nulls_equal=True)
    return News(rows=_count(fresh), span=max(span, timedelta(0)))


def _count(rows: pl.LazyFrame) -> int:
    return int(rows.select(pl.len()).collect().item())


def _embargoed(dataset: Artifact) -> pl.Expr:
    when = {
        name: pl.lit(datetime.fromisoformat(value)) for name, value in dataset.manifest.content["boundaries"].items()
    }
    event = pl.col("event_timestamp")
    return event.is_between(when["train_end"], when["validation_start"], closed="left") | event.is_between(
        when["validation_end"], when["holdout_start"], closed="left"
    )


def _labelled(dataset: Artifact, id_column: str) -> pl.LazyFrame:
    files = [dataset.file(f"{part}.parquet") for part in PARTS]
    return pl.concat([pl.scan_parquet(file).select(id_column, "label", "event_timestamp") for file in files])
