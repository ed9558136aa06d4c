"""What a dataset has to teach that another one had not."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from mlops_platform.errors import MissingArtifactError
from mlops_platform.resources.artifacts import ArtifactStore

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
    now, before, gone, embargoed = _labelled(store, newer, id_column), None, False, pl.lit(False)
    if earlier is not None:
        try:
            before, embargoed = _labelled(store, earlier, id_column), _embargoed(store, earlier)
        except MissingArtifactError:
            gone = True
    if before is None:
        rows = now.select(pl.len()).collect().item()
        return News(rows=rows, span=timedelta(0), earlier_is_gone=gone)
    newest = pl.col("event_timestamp").max()
    span = now.select(newest).collect().item() - before.select(newest).collect().item()
    fresh = now.filter(~embargoed).join(before, on=[id_column, "label"], how="anti", nulls_equal=True)
    return News(rows=fresh.select(pl.len()).collect().item(), span=max(span, timedelta(0)))


def _embargoed(store: ArtifactStore, digest: str) -> pl.Expr:
    at = store.open("dataset", digest).manifest.content["boundaries"]
    when = {name: pl.lit(datetime.fromisoformat(value)) for name, value in at.items()}
    event = pl.col("event_timestamp")
    return event.is_between(when["train_end"], when["validation_start"], closed="left") | event.is_between(
        when["validation_end"], when["holdout_start"], closed="left"
    )


def _labelled(store: ArtifactStore, digest: str, id_column: str) -> pl.LazyFrame:
    dataset = store.open("dataset", digest)
    files: list[Path] = [dataset.file(f"{part}.parquet") for part in PARTS]
    return pl.concat([pl.scan_parquet(file).select(id_column, "label", "event_timestamp") for file in files])
