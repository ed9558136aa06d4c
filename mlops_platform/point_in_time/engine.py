"""Joins as of a time, in polars: lazy frames in, a lazy frame out.

One row's way: `asked` numbers the keys of the entity rows; `planning` decides how a view is read; `candidates` reads
the rows that could answer; `choosing` finds each entity row's newest visible one; `gathering` fetches its features.
"""

from collections.abc import Iterator, MutableMapping, Sequence
from typing import Literal

import polars as pl

from mlops_platform.point_in_time.asked import EVENT, KNOWN, ROW, Asked
from mlops_platform.point_in_time.candidates import Candidates, microseconds
from mlops_platform.point_in_time.choosing import better
from mlops_platform.point_in_time.errors import rewritten
from mlops_platform.point_in_time.gathering import gathered
from mlops_platform.point_in_time.memory import default_budget, used_bytes
from mlops_platform.point_in_time.planning import ENTITY_BYTES, Plan, choose_plan, require_room, row_bytes
from mlops_platform.point_in_time.times import UTC_TIME, as_utc
from mlops_platform.point_in_time.view_frame import (
    ViewFrame,
    check_columns,
    check_outputs,
    key_types,
    require_columns,
    schema_of,
)

_LEAST_PART = 10_000
_BEGINNING = -(2**63)


def join_as_of(
    entities: pl.LazyFrame, views: Sequence[ViewFrame], *, event_timestamp: str, with_times: bool = False,
    plan: Plan | None = None, memory_budget: int | None = None, taken: MutableMapping[str, Plan] | None = None,
) -> pl.LazyFrame:  # fmt: skip
    """Give each entity row the features of the newest row of each view that was visible at its time.

    Args:
        entities: One row per question. Every column is kept; the time column becomes `Datetime("us", "UTC")`.
        views: The views to join; see `ViewFrame`. Output names must be free and distinct.
        event_timestamp: The time column of `entities`: datetime, date or ISO text; no zone means UTC. Null: no match.
        with_times: Also add `<view>__event_timestamp` and `<view>__known_timestamp` of the row chosen, both
            `Datetime("us", "UTC")`, null where none was chosen or the view has no known timestamp.
        plan: How to read every view, instead of what the planner would choose.
        memory_budget: Bytes that this process may use; three quarters of what there is by default.
        taken: Is told, by view, the plan that was taken, whenever the answer is collected.

    Returns:
        As many rows as `entities`, in the same order: its columns, then each view's features as stored (nulls where
        nothing matched), each view followed by its two times if they were asked for. Nothing is read before it is
        collected; entity frame and answer are then held in memory.

    Raises:
        PointInTimeError: A column is missing, a key or time type does not fit, a name is used twice; when collected:
            a view's rows were written anew while they were read, or the answer itself is larger than the budget.
    """
    join = _Join(entities, views, event_timestamp)
    answers = [_answer_schema(view, own, with_times) for view, own in zip(views, join.stored, strict=True)]
    check_outputs(join.schema, [(view.name, name) for view, own in zip(views, answers, strict=True) for name in own])

    def answer() -> pl.DataFrame:
        asked, budget = join.asked(), memory_budget or default_budget()
        require_room(views, asked.rows.height, budget)
        require_unchanged(views)
        columns = asked.rows.get_columns()
        for candidates in join.candidates(asked):
            chosen = plan or choose_plan(candidates, budget)
            columns += _answer(candidates, chosen, with_times)
            if taken is not None:
                taken[candidates.view.name] = chosen
        # At the end, for all: no two views of one file have seen other rows of it.
        require_unchanged(views)
        return pl.DataFrame(columns)

    whole = {**join.schema, event_timestamp: UTC_TIME}
    return pl.defer(answer, schema=pl.Schema(whole | {name: dtype for own in answers for name, dtype in own.items()}))


def plans(
    entities: pl.LazyFrame, views: Sequence[ViewFrame], *, event_timestamp: str, memory_budget: int | None = None
) -> list[Plan]:
    """Return how `join_as_of` would read each view now, and why; the arguments and errors are the same."""
    join = _Join(entities, views, event_timestamp)
    return [choose_plan(each, memory_budget or default_budget()) for each in join.candidates(join.asked())]


def join_in_parts(
    entities: pl.LazyFrame, views: Sequence[ViewFrame], *, event_timestamp: str, memory_budget: int | None = None,
    taken: MutableMapping[str, Plan] | None = None,
) -> Iterator[pl.DataFrame]:  # fmt: skip
    """Give the answer of `join_as_of` a stretch of entity rows at a time, where the whole would not fit in memory.

    The views are read once for each part; the arguments and errors are the same.
    """
    asked = _Join(entities, views, event_timestamp).asked().rows
    budget = memory_budget or default_budget()
    part = max(_LEAST_PART, int((budget - used_bytes()) / 4 / (row_bytes(views) + ENTITY_BYTES)))
    for start in range(0, max(1, asked.height), part):
        rows = asked.slice(start, part).lazy()
        joined = join_as_of(rows, views, event_timestamp=event_timestamp, memory_budget=budget, taken=taken)
        yield joined.collect(engine="in-memory")


class _Join:
    """The checked arguments of a join."""

    def __init__(self, entities: pl.LazyFrame, views: Sequence[ViewFrame], event_timestamp: str) -> None:
        self.schema = schema_of(entities, where="entity frame")
        remedy = "Name the column that holds each row's time."
        require_columns([event_timestamp], self.schema, where="entity frame", remedy=remedy)
        self.stored = [check_columns(view) for view in views]
        self._views = views
        self._types = [key_types(view, self.schema, own) for view, own in zip(views, self.stored, strict=True)]
        self._event_timestamp = event_timestamp
        moment = as_utc(event_timestamp, self.schema[event_timestamp], where="entity frame")
        self._entities = entities.with_columns(moment)

    def asked(self) -> Asked:
        return Asked.of(self._entities.collect(engine="in-memory"), self._event_timestamp)

    def candidates(self, asked: Asked) -> Iterator[Candidates]:
        for view, types in zip(self._views, self._types, strict=True):
            yield Candidates(view=view, types=types, asked=asked, keyed=asked.keyed(types))


def require_unchanged(views: Sequence[ViewFrame]) -> None:
    """Raise PointInTimeError if a view no longer gives the rows that it gave when it was made."""
    for view in views:
        if view.unchanged is not None and not view.unchanged():
            raise rewritten(f"view {view.name!r}")


def _answer_schema(view: ViewFrame, stored: pl.Schema, with_times: bool) -> dict[str, pl.DataType]:
    times = (f"{view.name}__event_timestamp", f"{view.name}__known_timestamp") if with_times else ()
    return {output: stored[column] for column, output in view.features.items()} | dict.fromkeys(times, UTC_TIME)


def _answer(candidates: Candidates, plan: Plan, with_times: bool) -> list[pl.Series]:
    """The features of one view, a series each, in the order of the entity rows."""
    view = candidates.view
    if plan.way == "one pass":
        features, chosen = _at_once(candidates, plan)
    else:
        height = plan.rows if plan.rows is not None else int(view.frame.select(pl.len()).collect().item())
        chosen = _alive(candidates, _chosen(candidates, plan, height))
        features = gathered(
            view.frame, view.features, chosen[ROW], height=height, widths=plan.widths, at_once=plan.gather_bytes
        )
    if not with_times:
        return features
    names = {f"{view.name}__event_timestamp": EVENT, f"{view.name}__known_timestamp": KNOWN}
    return features + [chosen[time].cast(UTC_TIME).alias(name) for name, time in names.items()]


def _at_once(candidates: Candidates, plan: Plan) -> tuple[list[pl.Series], pl.DataFrame]:
    """Features and choice where rows are held in memory with their features."""
    # The order of an unknown query's rows is that of polars' in-memory engine; files keep theirs in both.
    engine: Literal["streaming", "in-memory"] = "streaming" if plan.push_keys else "in-memory"
    held = candidates.read(features=True, push_keys=plan.push_keys).collect(engine=engine)
    held = held.with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).alias(ROW))
    chosen = _alive(candidates, candidates.choose(candidates.numbered(held.lazy()).collect(engine="in-memory")))
    features = held.select(pl.col(name).gather(chosen[ROW]) for name in candidates.view.features.values())
    return features.get_columns(), chosen


def _chosen(candidates: Candidates, plan: Plan, height: int) -> pl.DataFrame:
    if plan.way == "two passes":
        return candidates.choose(_stretch(candidates, 0, None))
    best = candidates.choose(_stretch(candidates, 0, 0))
    for start in range(0, height, plan.chunk_rows):
        best = better(best, candidates.choose(_stretch(candidates, start, plan.chunk_rows)))
    return best


def _stretch(candidates: Candidates, start: int, rows: int | None) -> pl.DataFrame:
    read = candidates.read(features=False, offset=start, length=rows)
    return candidates.numbered(read).collect(engine="in-memory")


def _alive(candidates: Candidates, chosen: pl.DataFrame) -> pl.DataFrame:
    """The choice without rows that are older than the view's ttl."""
    ttl = microseconds(candidates.view.ttl)
    if ttl is None:
        return chosen
    # Before the beginning of time there is no time, which subtracting must not wrap around.
    oldest = pl.max_horizontal(pl.lit(candidates.asked.at), _BEGINNING + ttl) - ttl
    return chosen.select(pl.when(pl.col(EVENT) >= oldest).then(pl.all()))
