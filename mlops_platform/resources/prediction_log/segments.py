"""Journals: files of records in which live answers wait until they are shipped to the prediction log.

A journal belongs to one process and is named by 32 hex digits; its segments ``<journal>-<number>.journal`` are numbered
in the order of their answers. The process that writes a segment holds its lock as long as it does, and the kernel lets
go of it when the process dies; a segment without a holder is written no more, and may be shipped. A segment gets its
name only once it is locked, so that none is taken for finished before it began.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from mlops_platform.resources.home import Home
from mlops_platform.resources.prediction_log.records import Records, counted, whole_records
from mlops_platform.resources.prediction_log.rows import rows_of
from mlops_platform.spec import Model, Project

_NAME = re.compile(r"([0-9a-f]{32})-(\d{8})\.journal")


@dataclass(frozen=True)
class Segment:
    """One file of a journal.

    Attributes:
        path: Where.
        journal: Which journal, 32 hex digits.
        number: Its place there, from 1.
    """

    path: Path
    journal: str
    number: int

    def read(self) -> bytes | None:
        """Its bytes; None where it was shipped by now."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None


def segment_name(journal: str, number: int) -> str:
    """The file name of a segment."""
    return f"{journal}-{number:08d}.journal"


def segments(folder: Path) -> list[Segment]:
    """The segments in a folder, each journal's in their order."""
    found = [(path, _NAME.fullmatch(path.name)) for path in folder.glob("*.journal")]
    named = [Segment(path, match[1], int(match[2])) for path, match in found if match is not None]
    return sorted(named, key=lambda each: (each.journal, each.number))


def log_lock(project: Project, model: Model) -> str:
    """Name of the lock of whoever writes a model's prediction log."""
    return f"{project.name}.{model.name}.predictions"


@dataclass(frozen=True, kw_only=True)
class Unshipped:
    """What waits in the journals.

    Attributes:
        answers: How many.
        since: The moment of the oldest, UTC; None where nothing waits.
        damaged: Segments that were put aside because bytes of them had been changed.
    """

    answers: int
    since: datetime | None
    damaged: tuple[str, ...]


def unshipped(home: Home, project: Project, model: Model) -> Unshipped:
    """Counts what waits; nothing is decoded."""
    folder = home.journals(project.name, model.name)
    told = [counted(payload) for records in _all_records(folder) for payload in records.payloads]
    damaged = tuple(sorted(path.name for path in (folder / "damaged").glob("*.journal")))
    return Unshipped(answers=sum(rows for rows, _ in told), since=min((at for _, at in told), default=None),
                     damaged=damaged)  # fmt: skip


def pending(home: Home, project: Project, model: Model, prediction_id: str | None = None) -> pl.DataFrame:
    """The answers that wait in the journals, as rows of the prediction log.

    An answer goes to the log before it leaves its journal. So whoever looks for one reads this first and the log after
    it: then he finds each that was sent, some of them in both.

    Args:
        home, project, model: Whose.
        prediction_id: Only this answer.
    """
    wanted = None if prediction_id is None else prediction_id.encode()
    rows = rows_of(model, [
        payload
        for records in _all_records(home.journals(project.name, model.name))
        for payload in records.payloads
        if wanted is None or wanted in bytes(payload)
    ])  # fmt: skip
    return rows if prediction_id is None else rows.filter(pl.col("prediction_id") == prediction_id)


def _all_records(folder: Path) -> list[Records]:
    return [whole_records(data) for each in segments(folder) if (data := each.read()) is not None]
