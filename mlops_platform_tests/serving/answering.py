"""Questions about pumps and what two versions answer to them, for tests of the log; a program that answers for ever.

``python -m mlops_platform_tests.serving.answering HOME DURABILITY`` prints the ids of each request once it is logged,
as a response would be sent; ``SHIP`` instead of a durability ships for ever.
"""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from mlops_platform.online_store import OnlineFeatures, Status
from mlops_platform.resources.home import Home
from mlops_platform.resources.prediction_log.shipping import ship
from mlops_platform.serving.answer_log import AnswerLog
from mlops_platform.serving.identity import LiveIds
from mlops_platform.serving.journal import Journal
from mlops_platform.serving.question import Answer, Question, Role
from mlops_platform.spec import Model, Project, Serving
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT

IDS = LiveIds()
UTC_US = pl.Datetime("us", "UTC")
ASKED = datetime(2024, 5, 10, 7, tzinfo=UTC)


def question(rows: int = 1, *, first: int = 0, pump: str = "P") -> Question:
    """So many inspections, each of a pump of its own."""
    pumps = [f"{pump}{number}" for number in range(first, first + rows)]
    return Question(examples=pl.DataFrame({
        "pump": pumps, "event_timestamp": pl.Series([ASKED] * rows, dtype=UTC_US),
        "weekday": pl.Series([5] * rows, dtype=pl.Int64), "inspection_id": [f"{name}-20240510" for name in pumps],
    }))  # fmt: skip


def fetched(rows: int) -> OnlineFeatures:
    """The newest reading of each pump; every other one has none."""
    found = [place % 2 == 0 for place in range(rows)]
    at = pl.Series([ASKED if each else None for each in found], dtype=UTC_US)
    values = pl.Series([61.5 if each else None for each in found], dtype=pl.Float32)
    statuses = pl.Series([Status.PRESENT if each else Status.MISSING for each in found], dtype=pl.UInt8)
    return OnlineFeatures(
        values=pl.DataFrame({"pump_state__temperature": values, "pump_state__vibration": values / 3}),
        statuses=pl.DataFrame({"pump_state": statuses}),
        events=pl.DataFrame({"pump_state": at}),
        knowns=pl.DataFrame({"pump_state": at}),
    )


def answer(rows: np.ndarray, *, role: Role = "champion", version: str = "1", given: bool = False) -> Answer:
    """Answers to rows of a question."""
    now, count = datetime.now(UTC), len(rows)
    marks = [{"pump_state": "missing"} if place % 2 else {} for place in range(count)]
    return Answer(
        rows=rows, ids=IDS.take(now, count), scores=np.linspace(0.25, 0.75, count, dtype=np.float32), version=version,
        checkpoint=f"sha256:{version}", role=role, features=None if given else fetched(count), marks=marks,
        answered_at=now,
    )  # fmt: skip


def asked(log: AnswerLog, rows: int = 1, *, first: int = 0) -> list[str]:
    """One request that the champion answers; its ids."""
    given = answer(np.arange(rows))
    log.log(question(rows, first=first), [given])
    return given.ids


def log_of(home: Home, *, project: Project = PROJECT, model: Model = MODEL, largest: int = 2**20,
           durability: str = "flushed") -> AnswerLog:  # fmt: skip
    """A log whose segments end after so many bytes."""
    serving = replace(model.serving, durability=durability)
    return AnswerLog(home, project, model, journal_of(home, serving, largest))


def journal_of(home: Home, serving: Serving, largest: int) -> Journal:
    """A journal of the pumps' model."""
    return Journal(home.journals(PROJECT.name, MODEL.name), serving, largest=largest, longest=0.3)


if __name__ == "__main__":
    here = Home(Path(sys.argv[1]))
    if sys.argv[2] == "SHIP":
        while True:
            print(ship(here, PROJECT, MODEL).answers, flush=True)
    log = log_of(here, largest=40_000, durability=sys.argv[2])
    while True:
        print(*asked(log, 3), flush=True)
