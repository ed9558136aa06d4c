"""Deciding how a view is read: once, twice, or in chunks; with the keys pushed into the reader or not."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import polars as pl

from mlops_platform.point_in_time.candidates import Candidates
from mlops_platform.point_in_time.errors import PointInTimeError
from mlops_platform.point_in_time.memory import used_bytes
from mlops_platform.point_in_time.view_frame import ViewFrame, schema_of

Way = Literal["one pass", "two passes", "chunks"]

# Measured on 10 M rows of ten features: a row is held about three times while it is placed, sorted and searched.
_CHOOSING_BYTES = 100
_SMALL_ROWS = 100_000
_SMALL_BYTES = 128 * 2**20
_GATHER_BYTES = 512 * 2**20
_LEAST = 64 * 2**20
# Measured: what the order and the choice of one entity row take while one view is joined.
ENTITY_BYTES = 130
_TIMES_BYTES = 40  # two times, key number, position and key
_SAMPLES, _SAMPLE = 6, 1_000
# Telling the reader which keys to decode pays where at most this share of the rows has one of them.
_SELECTIVE = 0.25
_FIXED = {
    pl.Boolean: 1, pl.Int8: 1, pl.UInt8: 1, pl.Int16: 2, pl.UInt16: 2, pl.Int32: 4, pl.UInt32: 4, pl.Float32: 4,
    pl.Date: 4, pl.Int64: 8, pl.UInt64: 8, pl.Float64: 8, pl.Datetime: 8, pl.Time: 8, pl.Duration: 8,
    pl.Decimal: 16, pl.Int128: 16,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one view is read.

    Attributes:
        way: "one pass": keys, times and features together. "two passes": keys and times of all rows, then the features
            of the chosen ones. "chunks": as two passes, but keys and times a stretch of rows at a time, of which each
            entity row keeps the best candidate so far.
        push_keys: Whether the reader is told the keys asked for.
        chunk_rows: Rows of a chunk.
        gather_bytes: Bytes of features that are read at a time.
        rows: Rows of the view; None if counting them would mean computing them.
        widths: Bytes of a value, by feature column, as sampled.
        why: What decided.
    """

    way: Way
    push_keys: bool = False
    chunk_rows: int = 10_000_000
    gather_bytes: int = _GATHER_BYTES
    rows: int | None = None
    widths: Mapping[str, float] = field(default_factory=dict, repr=False)
    why: str = "asked for"

    def __str__(self) -> str:
        pushed = ", keys pushed into the reader" if self.push_keys else ""
        chunks = f" of {self.chunk_rows:,} rows" if self.way == "chunks" else ""
        return f"{self.way}{chunks}{pushed}: {self.why}"


def choose_plan(candidates: Candidates, budget: int) -> Plan:
    """Choose how to read a view.

    Args:
        candidates: The view and the entity rows.
        budget: Bytes that the whole process may use.

    Returns:
        The plan. Only views that can be read again alike (`ViewFrame.unchanged`) are ever read more than once.
    """
    view = candidates.view
    if view.unchanged is None:
        return Plan(way="one pass", why="its rows may not come alike a second time, so they are read once, whole")
    rows, widths = int(view.frame.select(pl.len()).collect().item()), stored_widths(view.frame, view.features)
    width, asked = sum(widths.values()) + _TIMES_BYTES, candidates.asked.rows.height
    room = max(_LEAST, budget - used_bytes() - int(asked * (width + ENTITY_BYTES)))
    share = _share(candidates, rows)
    selective = share <= _SELECTIVE
    why = f"{rows:,} rows of {width:,.0f} bytes, {candidates.keyed.codes.height:,} keys asked for"
    why += f", {share:.0%} of sampled rows have one of them" if share < 1 else ""
    held = rows * width * (min(1.0, 2 * share + 0.01) if selective else 1.0)
    plan = Plan(way="one pass", push_keys=selective, rows=rows, widths=widths, why=why,
                gather_bytes=min(_GATHER_BYTES, room // 4))  # fmt: skip
    if held <= (room / 4 if selective else min(room / 4, _SMALL_BYTES)):
        return plan
    if rows * _CHOOSING_BYTES <= room / 2:
        return replace(plan, way="two passes", push_keys=False)
    needed = f"choosing among all of them at once would take {_gib(rows * _CHOOSING_BYTES)} of {_gib(room)}"
    fitting = max(_SMALL_ROWS, int(room / 4 / _CHOOSING_BYTES))
    return replace(plan, way="chunks", push_keys=False, chunk_rows=fitting, why=f"{why}; {needed}")


def require_room(views: Sequence[ViewFrame], height: int, budget: int) -> None:
    """Raise PointInTimeError if the answer for so many entity rows is itself larger than the budget leaves.

    The answer is held twice while it is turned into what was asked for.
    """
    needed, free = height * (2 * row_bytes(views) + ENTITY_BYTES), budget - used_bytes()
    if needed > max(free, _LEAST):
        raise PointInTimeError(
            f"the answer: {height:,} entity rows with all features take about {_gib(needed)}, and of the memory budget "
            f"of {_gib(budget)} there is {_gib(max(0, free))} left. Persist the job, which writes the answer in parts, "
            f"ask for fewer rows or features, or raise memory_budget."
        )


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"


def row_bytes(views: Sequence[ViewFrame]) -> float:
    """Return about how many bytes the features of one answered entity row take; only stored views are looked at."""
    stored = [view for view in views if view.unchanged is not None]
    return 8 + sum(sum(stored_widths(view.frame, view.features).values()) for view in stored)


def stored_widths(frame: pl.LazyFrame, columns: Iterable[str]) -> dict[str, float]:
    """Return bytes of a value of each column: known of numbers and times, sampled of the others."""
    schema = schema_of(frame, where="view")
    widths = {column: float(_FIXED.get(schema[column].base_type(), 0)) for column in columns}
    unknown = [column for column, width in widths.items() if not width]
    if unknown:
        sample = _sample(frame.select(unknown), int(frame.select(pl.len()).collect().item()))
        widths |= {column: max(8.0, sample[column].estimated_size() / max(1, sample.height)) for column in unknown}
    return widths


def _share(candidates: Candidates, rows: int) -> float:
    """Share of sampled rows that the reader would keep, were it told the keys; 1 where it cannot be."""
    keep, view = candidates.pushed(), candidates.view
    if keep is None or rows <= _SMALL_ROWS:
        return 1.0
    sample = _sample(view.frame.select(list(dict.fromkeys(view.keys.values()))), rows)
    return sample.filter(keep).height / sample.height


def _sample(frame: pl.LazyFrame, rows: int) -> pl.DataFrame:
    """A few stretches of rows, spread over the frame."""
    starts = range(0, rows, max(_SAMPLE, rows // _SAMPLES)) if rows else [0]
    return pl.concat([frame.slice(start, _SAMPLE).collect(engine="in-memory") for start in starts])
