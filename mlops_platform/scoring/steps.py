"""Rows as the steps of sequences: an entity's rows in the order of their event timestamps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from mlops_platform.scoring.errors import InputError

TIME = "event_timestamp"


@dataclass(frozen=True)
class Carried:
    """What a program of sequences carries from step to step.

    Attributes:
        entity: Columns that name a sequence.
        initial: The state of one sequence before any row, as nested lists of numbers.
    """

    entity: tuple[str, ...]
    initial: Any

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that order rows into steps."""
        return (*self.entity, TIME)

    def initial_states(self, sequences: int) -> np.ndarray:
        """The state before any row, float32 [sequences, ...]."""
        one = np.asarray(self.initial, dtype=np.float32)
        return np.broadcast_to(one, (sequences, *one.shape)).copy()


@dataclass(frozen=True)
class Walk:
    """Rows in the order in which all sequences are walked side by side, the longest first.

    Attributes:
        order: Place of each row in the frame, int64 [N]: all first steps, then all second ones, and so on.
        sizes: How many sequences have each step, int64 [T], never rising: those of a step lead those of the one before.
    """

    order: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]


def walk(frame: pl.DataFrame, entity: Sequence[str]) -> Walk:
    """How to walk through rows.

    Raises:
        InputError: An entity has two rows of one time.
    """
    placed = _placed(frame, entity).sort("step", "length", *entity, descending=[False, True, *(False for _ in entity)])
    sizes = placed.group_by("step", maintain_order=True).len()["len"]
    return Walk(placed["row"].cast(pl.Int64).to_numpy(), sizes.cast(pl.Int64).to_numpy())


def sequences(frame: pl.DataFrame, entity: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows one sequence after the other.

    Returns:
        order: Place of each row in the frame, int64 [N].
        lengths: Steps of each sequence, int64 [S], by rising entity.

    Raises:
        InputError: An entity has two rows of one time.
    """
    placed = _placed(frame, entity)
    lengths = placed.filter(pl.col("step") == 0)["length"]
    return placed["row"].cast(pl.Int64).to_numpy(), lengths.cast(pl.Int64).to_numpy()


def _placed(frame: pl.DataFrame, entity: Sequence[str]) -> pl.DataFrame:
    """Entity, time and ``row`` of each row by entity and time, with its ``step`` and its sequence's ``length``."""
    missing = [name for name in (*entity, TIME) if name not in frame.columns]
    if missing:
        raise InputError(
            required=f"columns {', '.join(missing)}, which order rows into sequences",
            found=f"only {', '.join(frame.columns) or 'no columns'}", remedy="add them",
        )  # fmt: skip
    rows = frame.select(*entity, TIME).with_row_index("row").sort(*entity, TIME)
    twice = rows.filter(pl.struct(*entity, TIME).is_duplicated())
    if not twice.is_empty():
        raise InputError(
            required=f"one row for each {', '.join(entity)} and {TIME}",
            found="several of " + ", ".join(map(str, twice.row(0)[1:])),
            remedy="keep one of them, or name a further column in Sequence.entity",
        )  # fmt: skip
    return rows.with_columns(step=pl.int_range(pl.len()).over(entity), length=pl.len().over(entity))
