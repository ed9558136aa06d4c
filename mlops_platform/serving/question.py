"""What a live model is asked, and what it answers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import polars as pl

from mlops_platform.online_store import OnlineFeatures

Role = Literal["champion", "canary", "shadow"]


@dataclass(frozen=True, kw_only=True)
class Question:
    """Rows to answer.

    Attributes:
        examples: N rows in the caller's order: entity keys, ``event_timestamp`` (the time of the question, Datetime us
            UTC), context and carried columns, and the id column of the model's examples, null where none was given.
        features: N rows of feature values that the caller gave, named ``table__column``; None: fetched from the online
            store.
    """

    examples: pl.DataFrame
    features: pl.DataFrame | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one version answered to the rows of a question, or to some of them.

    Attributes:
        rows: Places of these rows in the question, int64 [M].
        ids: Prediction id of each [M].
        scores: float32 [M], or [M, H] of a forecast.
        version, checkpoint: What answered.
        role: ``champion``; ``canary``, whose answers callers get too; ``shadow``, whose answers nobody gets.
        features: What was read for these M rows; None where the caller gave the features.
        marks: For each row the features that were missing, stale or filled by a default, by name [M].
        answered_at: UTC.
    """

    rows: np.ndarray
    ids: list[str]
    scores: np.ndarray
    version: str
    checkpoint: str
    role: Role
    features: OnlineFeatures | None
    marks: list[dict[str, str]]
    answered_at: datetime
