"""The replay: a holdout's rows asked again through the online path, each at its time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl

from mlops_platform.monitoring.skew.arrivals import Arrivals, arrivals
from mlops_platform.monitoring.skew.sample import TIME
from mlops_platform.online_store import OnlineFeatures, Status
from mlops_platform.spec import FeatureTable, Model, Project

Packed = tuple[Sequence[bytes | None], Sequence[bytes]]
"""Key and row of each of some rows, as bytes."""


class OnlinePath(Protocol):
    """What brings rows online and answers from them."""

    def pack(self, table: FeatureTable, rows: pl.DataFrame) -> Packed:
        """Rows of a feature table, keys, all columns and both timestamps, as its store has them."""
        ...

    def write(self, table: FeatureTable, packed: Packed) -> None:
        """Puts rows into the store, each in the place of the one of its key."""
        ...

    def read(self, examples: pl.DataFrame) -> OnlineFeatures:
        """The features of examples that have entity keys and ``event_timestamp``."""
        ...

    def encode(self, frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """What the program is given for examples with their features."""
        ...

    def score(self, numeric: np.ndarray, categories: np.ndarray) -> np.ndarray | None:
        """Scores of these; None where the program answers only with a state that the replay has not built."""
        ...


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What the online path told of N examples, in their order.

    Attributes:
        features: Its values, with the times and the status of each row.
        numeric, categories: What the program was given, float32 [N, F] and int64 [N, C].
        scores: float32 [N], or [N, H] of a forecast; None where the program carries a state.
        ruled: Whether a declared policy of the online path answers otherwise than training did, Boolean [N]: a missing
            or stale feature was given its default, or the row is refused.
        moments: How many times the path was asked.
        written: How many rows its store was given.
    """

    features: OnlineFeatures
    numeric: np.ndarray
    categories: np.ndarray
    scores: np.ndarray | None
    ruled: pl.Series
    moments: int
    written: int


def replay(
    path: OnlinePath, project: Project, model: Model, examples: pl.DataFrame, tables: Mapping[str, pl.LazyFrame]
) -> Replayed:
    """Asks examples through the online path, its store at each time holding what was newest and known by then.

    Args:
        path: Over an empty store.
        project, model: The declarations.
        examples: N rows of a dataset, by time, one at least.
        tables: The feature tables at the versions of the dataset.
    """
    moments = examples[TIME].unique().sort()
    coming = {
        table: (arrived, path.pack(table, arrived.rows))
        for table, arrived in _coming(project, model, examples, tables, moments)
    }
    names = list(project.feature_names(model))
    answers: list[tuple[OnlineFeatures, np.ndarray, np.ndarray, np.ndarray | None]] = []
    written = 0
    for place, asked in enumerate(examples.partition_by(TIME, maintain_order=True)):
        for table, (arrived, (keys, rows)) in coming.items():
            part = arrived.at(place)
            if part.start < part.stop:
                path.write(table, (keys[part], rows[part]))
                written += part.stop - part.start
        features = path.read(asked)
        numeric, categories = path.encode(asked.drop(names).hstack(features.values.select(names)))
        answers.append((features, numeric, categories, path.score(numeric, categories)))
    features = _stacked([answer[0] for answer in answers])
    scores = [answer[3] for answer in answers if answer[3] is not None]
    return Replayed(
        features=features, numeric=np.concatenate([answer[1] for answer in answers]),
        categories=np.concatenate([answer[2] for answer in answers]),
        scores=np.concatenate(scores) if scores else None, ruled=_ruled(project, model, features.statuses),
        moments=len(moments), written=written,
    )  # fmt: skip


def _coming(project: Project, model: Model, examples: pl.DataFrame, tables: Mapping[str, pl.LazyFrame],
            moments: pl.Series) -> Iterator[tuple[FeatureTable, Arrivals]]:  # fmt: skip
    for name in project.feature_columns(model):
        table = project.feature_table(name)
        columns = [column.name for column in table.columns]
        yield table, arrivals(tables[name], name=name, keys=table.keys, columns=columns, asked=examples,
                              moments=moments)  # fmt: skip


def _stacked(answers: Sequence[OnlineFeatures]) -> OnlineFeatures:
    parts = {name: pl.concat([getattr(answer, name) for answer in answers])
             for name in ("values", "statuses", "events", "knowns")}  # fmt: skip
    return OnlineFeatures(**parts)


def _ruled(project: Project, model: Model, statuses: pl.DataFrame) -> pl.Series:
    """Which rows a policy answers otherwise than with the null that training saw."""
    ruled = pl.repeat(False, statuses.height, dtype=pl.Boolean, eager=True)
    for name, columns in project.feature_columns(model).items():
        if any(column.if_missing != "mark" for column in columns):
            ruled |= statuses[name].is_in([Status.MISSING, Status.STALE])
    return ruled
