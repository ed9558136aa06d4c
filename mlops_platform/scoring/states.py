"""States of sequences between batch and live answers: left after the last known rows, and gone on from."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from mlops_platform.scoring.errors import InputError
from mlops_platform.scoring.scorer import Scorer
from mlops_platform.scoring.steps import TIME, Carried, Walk, walk

STATES = "states.parquet"
_STATE = "state"
_ONE = Walk(np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.int64))

Entity = tuple[Any, ...]


@dataclass(frozen=True)
class States:
    """The state of each entity after its last known row. Nothing of it changes.

    Attributes:
        entity: Columns that name a sequence.
        places: Row of each entity.
        times: Of each one's last row, UTC [E].
        values: float32 [E, ...].
    """

    entity: tuple[str, ...]
    places: Mapping[Entity, int]
    times: list[datetime]
    values: npt.NDArray[np.float32]

    @classmethod
    def read(cls, path: Path, carried: Carried) -> "States":
        """States that ``last_states`` gave and a station wrote.

        Args:
            path: The parquet file.
            carried: What the program of the same checkpoint carries.

        Raises:
            InputError: They are not of its entity or not of its state's shape.
        """
        frame, shape = pl.read_parquet(path), carried.initial_states(1).shape[1:]
        columns, size = [*carried.columns, _STATE], int(np.prod(shape))
        sound = frame.columns == columns and bool((frame[_STATE].list.len() == size).all())
        if not sound:
            raise InputError(
                required=f"columns {', '.join(columns)} of {path}, each state of {size} numbers",
                found=f"{dict(frame.schema)}", remedy="materialize the predictions again",
            )  # fmt: skip
        values = frame[_STATE].explode(empty_as_null=False).to_numpy().reshape(frame.height, *shape)
        places = {name: place for place, name in enumerate(_entities(frame, carried.entity))}
        return cls(carried.entity, places, frame[TIME].to_list(), values)

    @cached_property
    def newest(self) -> datetime | None:
        """Time of the newest row in any of them, UTC; None where there is none."""
        return max(self.times, default=None)

    def before(self, rows: pl.DataFrame, carried: Carried) -> np.ndarray:
        """The state before each row, float32 [N, ...]; of an entity without one the initial state.

        Raises:
            InputError: A row is not later than its entity's state, which would know what came after it.
        """
        found = carried.initial_states(rows.height)
        for row, (name, at) in enumerate(zip(_entities(rows, self.entity), rows[TIME].to_list(), strict=True)):
            place = self.places.get(name)
            if place is None:
                continue
            if at <= self.times[place]:
                raise InputError(
                    required=f"{TIME} after {self.times[place].isoformat()}, the last row in the state of its "
                    + ", ".join(self.entity),
                    found=at.isoformat(), remedy="ask for a later time; the prediction log has earlier answers",
                )  # fmt: skip
            found[row] = self.values[place]
        return found

    def known(self, rows: pl.DataFrame) -> list[datetime | None]:
        """Time of the state of each row's entity, None where it has none [N]."""
        places = [self.places.get(name) for name in _entities(rows, self.entity)]
        return [None if place is None else self.times[place] for place in places]


def last_states(scorer: Scorer, rows: pl.DataFrame) -> pl.DataFrame:
    """The state of each entity after its last row.

    Args:
        scorer: Of a program of sequences.
        rows: With the columns of its encoding.

    Returns:
        One row an entity, by entity: its columns, ``event_timestamp`` of its last row, and ``state`` (List of Float32:
        the numbers of one state in C order).

    Raises:
        InputError: A column is missing or of another type than in training, or two rows are one step.
    """
    carried = _carried(scorer)
    if rows.is_empty():
        empty = pl.Series(_STATE, [], dtype=pl.List(pl.Float32))
        return rows.select(carried.columns).with_columns(empty)
    path = walk(rows, carried.entity)
    _, states, last = _walked(scorer, rows, path, carried.initial_states(int(path.sizes[0])))
    flat = pl.Series(_STATE, states.reshape(len(states), -1)).arr.to_list().cast(pl.List(pl.Float32))
    return rows.select(carried.columns)[path.order[last]].with_columns(flat).sort(carried.entity)


def score_from(scorer: Scorer, rows: pl.DataFrame, states: States) -> np.ndarray:
    """Scores rows as the steps after the states; several of one entity in the order of their times.

    Returns:
        float32 [N], or [N, H] of a forecast, in the order of the rows.

    Raises:
        InputError: A column is missing or of another type than in training, two rows are one step, or a row is not
            later than its entity's state.
    """
    carried = _carried(scorer)
    if rows.is_empty():
        return scorer.score(rows)
    path = walk(rows, carried.entity) if rows.height > 1 else _ONE
    begun = states.before(rows[path.order[: path.sizes[0]]], carried)
    walked, _, _ = _walked(scorer, rows, path, begun)
    scores = np.empty_like(walked)
    scores[path.order] = walked
    return scores


def _walked(scorer: Scorer, rows: pl.DataFrame, path: Walk, state: np.ndarray
            ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Scores in the order of a walk; the state that each sequence ends in, and where its last row is."""
    numeric, categories = scorer.encode(rows)
    numeric, categories = numeric[path.order], categories[path.order]
    ended, last, scores = np.empty_like(state), np.empty(len(state), dtype=np.int64), []
    for rows_of_step, told in scorer.steps(numeric, categories, path.sizes, state):
        scores.append(told["score"])
        size = len(told["score"])
        ended[:size], last[:size] = told["next_state"], np.arange(rows_of_step.start, rows_of_step.stop)
    return np.concatenate(scores), ended, last


def _carried(scorer: Scorer) -> Carried:
    carried = scorer.encoding.carried
    if carried is None:
        raise InputError(required="a program of sequences, which has a state", found="one of rows",
                         remedy="score its rows by themselves")  # fmt: skip
    return carried


def _entities(rows: pl.DataFrame, entity: tuple[str, ...]) -> list[Entity]:
    missing = [name for name in (*entity, TIME) if name not in rows.columns]
    if missing:
        raise InputError(required=f"columns {', '.join(missing)}, by which a state is found",
                         found=f"only {', '.join(rows.columns) or 'no columns'}", remedy="add them")  # fmt: skip
    return list(zip(*(rows[name].to_list() for name in entity), strict=True))
