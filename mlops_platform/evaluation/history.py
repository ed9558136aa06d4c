"""The rows of a dataset that lead up to its holdout."""

import polars as pl

from mlops_platform.resources.artifacts import Artifact
from mlops_platform.scoring import Scorer

_BEFORE = ("train.parquet", "validation.parquet", "context.parquet")


def history(dataset: Artifact, scorer: Scorer) -> pl.DataFrame | None:
    """The rows that move the state of a scorer of sequences; None for one of rows, which has no state.

    Args:
        dataset: Whose holdout is scored. One that was made for a model of rows has no rows of context; then the state
            comes through what there is.
        scorer: Which columns are read.
    """
    if scorer.encoding.carried is None:
        return None
    columns = list(scorer.encoding.columns)
    known = [name for name in _BEFORE if name in dataset.manifest.files]
    parts = [pl.read_parquet(dataset.file(name), columns=columns) for name in known]
    return pl.concat(parts, how="vertical_relaxed")
