"""Answering a longer entity frame: what an earlier answer holds is taken from it, and only the rest is joined."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from mlops_platform.point_in_time.errors import PointInTimeError
from mlops_platform.point_in_time.view_frame import require_columns

_ROW, _PLACE = "__pit_row", "__pit_place"


@dataclass(frozen=True, kw_only=True)
class Extended:
    """The answer to an entity frame.

    Attributes:
        rows: The entity frame with its answers, in the order given.
        joined: Rows that were joined now.
        reused: Rows whose answers are the earlier ones.
    """

    rows: pl.DataFrame
    joined: int
    reused: int


def extended(
    earlier: pl.DataFrame, entities: pl.DataFrame, *, on: Sequence[str], join: Callable[[pl.DataFrame], pl.DataFrame]
) -> Extended:
    """Answer an entity frame from an earlier answer and a join of the rows that are not in it.

    Equal keys at an equal time have an equal answer, so rows are found by these columns alone, however often they
    occur on either side; nulls equal nulls.

    Args:
        earlier: The earlier answer: the columns `on` and the features. That its views would answer its rows the same
            today (equal versions, or equal up to these rows' times) is for the caller to prove.
        entities: The rows to answer; every column is kept.
        on: Every key and the time column: all that decides an answer.
        join: Joins the features to the rows it is given (some of `entities`, in their order): the same rows, with or
            without their own columns, and at least the features that `earlier` has. Called even for no rows.

    Returns:
        What joining all of `entities` gives, with the earlier answer's features.

    Raises:
        PointInTimeError: A column is missing or of another type, or `join` lost or multiplied rows.
    """
    for schema, where in ((earlier.schema, "the earlier answer"), (entities.schema, "the entity frame")):
        require_columns(on, schema, where=where, remedy="Name the keys and the time column of both.")
    _require_types({name: entities.schema[name] for name in on}, earlier.schema, "the entity frame")
    features = [name for name in earlier.columns if name not in on]
    places = _places(earlier, entities, on)
    new = places.is_null()
    rest = entities.filter(new)
    answered = join(rest)
    if answered.height != rest.height:
        raise PointInTimeError(f"extended: join must give {rest.height} rows back; found {answered.height}.")
    require_columns(features, answered.schema, where="the rows joined", remedy="Join what the earlier answer holds.")
    _require_types({name: answered.schema[name] for name in features}, earlier.schema, "the rows joined")
    # Both one after the other; an entity row's answer is at its place in the one or in the other.
    both = pl.concat([earlier.select(features), answered.select(features)], rechunk=True)
    added = earlier.height + new.cast(pl.Int64).cum_sum() - 1
    rows = entities.hstack(both[places.fill_null(added)]) if features else entities
    return Extended(rows=rows, joined=rest.height, reused=entities.height - rest.height)


def _places(earlier: pl.DataFrame, entities: pl.DataFrame, on: Sequence[str]) -> pl.Series:
    """Return, for each entity row, which row of the earlier answer is its own, or null."""
    numbered = entities.select(on).with_row_index(_ROW)
    found = numbered.join(
        earlier.select(on).with_row_index(_PLACE), on=list(on), how="left", nulls_equal=True, maintain_order="left"
    )
    if found.height > numbered.height:
        found = found.unique(subset=_ROW, keep="any", maintain_order=True)
    return found[_PLACE].cast(pl.Int64)


def _require_types(wanted: dict[str, pl.DataType], earlier: pl.Schema, where: str) -> None:
    differing = [
        f"{n}: {t} in {where}, {earlier[n]} in the earlier answer" for n, t in wanted.items() if t != earlier[n]
    ]
    if differing:
        raise PointInTimeError(
            f"extended: the types must be equal; found {'; '.join(differing)}. Join the whole frame."
        )
