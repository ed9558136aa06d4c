"""From journals to the prediction log, each answer exactly once.

The segments that nobody writes any more are appended in one Delta commit, which says of each journal the number of its
newest segment in the log (an application transaction). A segment is removed after the commit is on the disk. So
whoever dies in between leaves segments that the next one finds to be in the log already, and one lock keeps two from
shipping at once, and batch answers from being logged meanwhile.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import polars as pl

from mlops_platform.errors import PlatformError
from mlops_platform.resources.artifacts import sync
from mlops_platform.resources.delta import PARTITION, DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.locks import RUNS, exclusive, is_held, shared
from mlops_platform.resources.prediction_log.records import Records, whole_records
from mlops_platform.resources.prediction_log.rows import rows_of
from mlops_platform.resources.prediction_log.segments import Segment, log_lock, segments
from mlops_platform.spec import Model, Project

MANY = 32
"""Small files of one day from which on they are made one."""
SMALL = 16 * 2**20
"""Bytes under which a data file is small."""
_AT_ONCE = 256 * 2**20
"""Bytes of segments that one commit takes: what a killed service left may be much."""


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """What one look at the journals did.

    Attributes:
        answers: Rows appended to the log.
        segments: Segments that are in the log now and were removed.
        waiting: Segments that a process still writes.
        cut: Bytes of a last record that was not written to its end, by segment: nobody was sent that answer.
        damaged: Segments of which bytes had been changed; what is whole of them is in the log, and they lie in the
            folder ``damaged`` of the journals.
        compacted: Days whose small files were made one.
    """

    answers: int = 0
    segments: int = 0
    waiting: int = 0
    cut: Mapping[str, int] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()
    compacted: tuple[str, ...] = ()


def ship(home: Home, project: Project, model: Model) -> Shipped:
    """Appends to the prediction log what waits in journals that nobody writes any more.

    Args:
        home, project, model: Whose answers.

    Returns:
        What was done.

    Raises:
        PlatformError: The log's columns, or those of the answers that wait, are not those of the declaration.
    """
    folder = home.journals(project.name, model.name)
    if not folder.is_dir():
        return Shipped()
    log = DeltaDoor(home.prediction_log(project.name, model.name))
    with shared(home, RUNS), exclusive(home, log_lock(project, model)):
        _remove_drafts(folder)
        ready, waiting = _ready(segments(folder))
        done = [_remove_shipped(log, ready)]
        done += [_append(log, model, some) for some in _by_size([each for each in ready if each.path.exists()])]
        sync(folder)
        answers = sum(each.answers for each in done)
        compacted = _compact(log) if answers else ()
    return Shipped(
        answers=answers,
        segments=sum(each.segments for each in done),
        waiting=waiting,
        cut={name: size for each in done for name, size in each.cut.items()},
        damaged=tuple(name for each in done for name in each.damaged),
        compacted=compacted,
    )


def _ready(found: Sequence[Segment]) -> tuple[list[Segment], int]:
    """Segments that nobody writes, of each journal those before the first that somebody does, and how many are left."""
    ready: list[Segment] = []
    for _, journal in groupby(found, key=lambda each: each.journal):
        for segment in journal:
            if is_held(segment.path):
                break
            ready.append(segment)
    return ready, len(found) - len(ready)


def _by_size(found: Sequence[Segment]) -> Iterator[list[Segment]]:
    some: list[Segment] = []
    size = 0
    for segment in found:
        some.append(segment)
        size += segment.path.stat().st_size
        if size > _AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some


def _remove_shipped(log: DeltaDoor, found: Sequence[Segment]) -> Shipped:
    """Removes what an earlier look committed, and died before it removed it."""
    newest = log.transactions({_application(each) for each in found})
    left = [each for each in found if each.number <= newest.get(_application(each), 0)]
    if left:
        # It may have died before its commit was on the disk.
        os.sync()
    return _removed((each, whole_records(each.path.read_bytes())) for each in left)


def _append(log: DeltaDoor, model: Model, some: Sequence[Segment]) -> Shipped:
    """One commit with these segments; then they are removed."""
    read = [(each, whole_records(each.path.read_bytes())) for each in some]
    try:
        rows = rows_of(model, [payload for _, records in read for payload in records.payloads])
    except pl.exceptions.PolarsError as error:
        raise PlatformError(
            required=f"answers of {model.name} with the columns that it declares", found=str(error),
            remedy="the declaration changed while answers waited in the journals: ship them by the one by which they "
            "were given, then change it",
        ) from error  # fmt: skip
    if not rows.is_empty():
        log.append(rows, transactions={_application(each): each.number for each in some}, may_widen=True)
        log.sync()
    return replace(_removed(read), answers=rows.height)


def _removed(read: Iterable[tuple[Segment, Records]]) -> Shipped:
    """Removes segments whose records are in the log, and tells what of them was no record."""
    cut, damaged, count = {}, [], 0
    for segment, records in read:
        path, count = segment.path, count + 1
        if records.rest and not records.torn:
            (path.parent / "damaged").mkdir(exist_ok=True)
            path.rename(path.parent / "damaged" / path.name)
            damaged.append(path.name)
            continue
        if records.rest:
            cut[path.name] = records.rest
        path.unlink()
    return Shipped(segments=count, cut=cut, damaged=tuple(damaged))


def _application(segment: Segment) -> str:
    return f"journal/{segment.journal}"


def _remove_drafts(folder: Path) -> None:
    """Removes segments that died before they had a name; who is just about to give one its name makes another."""
    for draft in folder.glob(".*.journal"):
        if not is_held(draft):
            draft.unlink(missing_ok=True)


def _compact(log: DeltaDoor) -> tuple[str, ...]:
    """Makes the small files of a day one where they are many; the rows stay, and older versions stay readable."""
    small = log.files().filter(pl.col("bytes") < SMALL)
    days = small.group_by(PARTITION).len().filter(pl.col("len") >= MANY)[PARTITION].sort().to_list()
    for day in days:
        log.compact(day, size=SMALL)
    return tuple(days)
