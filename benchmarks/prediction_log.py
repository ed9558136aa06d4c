"""What it costs to log an answer before it is sent, and how fast what was logged comes to the table.

Claim: logging an answer of 1 row costs less than 0.15 ms and one of 100 rows less than 1 ms, with the operating system
(``flushed``); with ``synced``, eight threads share syncs, so that together they log at least twice as many requests a
second as one of them alone; an insert into SQLite, the peer, takes longer for 100 rows either way.
Measured: answers with 30 features of 3 views and 7 further columns, by ``AnswerLog`` into a journal; the peers are
SQLite (one row of JSON for each answer, a transaction for each request, WAL, ``synchronous`` NORMAL or FULL), Python's
``logging`` (a line of JSON for each answer, and a sync for each request), and a Delta append for each request. They
take turns in one process, ten requests each, so that a disk that is slow for a while is so for all of them; median and
99th percentile of a request. Then all that the journals hold is shipped, once.
"""

import argparse
import json
import logging
import os
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from benchmarks.tables import table
from mlops_platform.online_store import OnlineFeatures
from mlops_platform.resources.home import Home
from mlops_platform.resources.prediction_log.shipping import ship
from mlops_platform.serving.answer_log import AnswerLog
from mlops_platform.serving.identity import LiveIds
from mlops_platform.serving.question import Answer, Question
from mlops_platform.spec import Serving
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT

ROWS, VIEWS, EACH = (1, 100), 3, 10
MOST = {1: 0.15, 100: 1.0}
"""Milliseconds of a flushed request, by its rows."""
SHARED = 2.0
_TURN, _TURNS_OF_DELTA = 10, 5
_NOW = datetime(2024, 5, 10, 7, tzinfo=UTC)
_TIME = pl.Datetime("us", "UTC")

Log = Callable[[pl.DataFrame], object]


def request(rows: int) -> tuple[Question, Answer]:
    """A question of so many rows, and what a champion answers to it."""
    random = np.random.default_rng(0)
    views = [f"view_{place}" for place in range(VIEWS)]
    names = [f"{view}__feature_{number}" for view in views for number in range(EACH)]
    at = pl.Series([_NOW] * rows, dtype=_TIME)
    examples = pl.DataFrame({
        "inspection_id": [f"B6-{place:05d}-20240510" for place in range(rows)], "event_timestamp": at,
        **{name: [f"{name}-{place}" for place in range(rows)] for name in ("carrier", "origin", "dest", "tailnum")},
        "distance": random.random(rows), "weekday": random.integers(1, 7, rows),
    })  # fmt: skip
    features = OnlineFeatures(
        values=pl.DataFrame({name: random.random(rows, dtype=np.float32) for name in names}),
        statuses=pl.DataFrame({view: np.zeros(rows, dtype=np.uint8) for view in views}),
        events=pl.DataFrame(dict.fromkeys(views, at)),
        knowns=pl.DataFrame(dict.fromkeys(views, at)),
    )
    answered = Answer(
        rows=np.arange(rows), ids=LiveIds().take(_NOW, rows), scores=random.random(rows, dtype=np.float32),
        version="1", checkpoint="sha256:" + "0" * 64, role="champion", features=features, marks=[{}] * rows,
        answered_at=_NOW,
    )  # fmt: skip
    return Question(examples=examples), answered


def flat(asked: Question, answered: Answer) -> pl.DataFrame:
    """The same request in one frame, as a peer gets it."""
    features = answered.features
    assert features is not None
    frames = [pl.DataFrame({"prediction_id": answered.ids, "score": answered.scores}), asked.examples, features.values]
    frames += [getattr(features, part).rename(lambda name, part=part: f"{name}_{part}")
               for part in ("statuses", "events", "knowns")]  # fmt: skip
    return pl.concat(frames, how="horizontal")


def lines(frame: pl.DataFrame) -> list[tuple[str, str]]:
    """Id and JSON of each answer."""
    return [(row["prediction_id"], json.dumps(row, default=str)) for row in frame.rows(named=True)]


def ours(home: Home, durability: Literal["synced", "flushed"]) -> AnswerLog:
    """A log of ours."""
    model = replace(MODEL, serving=Serving(durability=durability))
    return AnswerLog(home, PROJECT, model)


def sqlite(path: Path, synchronous: str) -> Log:
    """One transaction for each request."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute(f"PRAGMA synchronous={synchronous}")
    database.execute("CREATE TABLE answers (id TEXT PRIMARY KEY, told TEXT)")

    def log(frame: pl.DataFrame) -> None:
        database.execute("BEGIN")
        database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", lines(frame))
        database.execute("COMMIT")

    return log


def json_lines(path: Path, *, synced: bool) -> Log:
    """Python's logging, a line for each answer."""
    handler = logging.FileHandler(path)
    logger = logging.Logger(path.name)
    logger.addHandler(handler)

    def log(frame: pl.DataFrame) -> None:
        for _, text in lines(frame):
            logger.info(text)
        if synced:
            os.fdatasync(handler.stream.fileno())

    return log


def delta(path: Path) -> Log:
    """One append for each request."""
    from deltalake import write_deltalake

    return lambda frame: write_deltalake(str(path), frame, mode="append")


def taken(log: Callable[[], None]) -> float:
    """Milliseconds of one call."""
    begun = time.perf_counter()
    log()
    return (time.perf_counter() - begun) * 1e3


def side_by_side(folder: Path, home: Home, rows: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each request by each way, in turn."""
    asked, answered = request(rows)
    frame = flat(asked, answered)
    logs = {each: ours(home, each) for each in ("flushed", "synced")}
    ways: dict[str, Callable[[], None]] = {
        f"ours, {name}": lambda log=log: log.log(asked, [answered]) for name, log in logs.items()
    }
    peers = {
        "SQLite, NORMAL": sqlite(folder / f"normal{rows}.db", "NORMAL"),
        "SQLite, FULL": sqlite(folder / f"full{rows}.db", "FULL"),
        "JSON lines": json_lines(folder / f"{rows}.jsonl", synced=False),
        "JSON lines, fdatasync": json_lines(folder / f"{rows}s.jsonl", synced=True),
        "Delta append": delta(folder / f"delta{rows}"),
    }
    ways |= {name: lambda peer=peer: peer(frame) for name, peer in peers.items()}
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds // _TURN):
        for name, log in ways.items():
            # A table of thousands of commits would make each next one slower: the peer is spared that.
            if name != "Delta append" or turn < _TURNS_OF_DELTA:
                found[name] += [taken(log) for _ in range(_TURN)]
    for log in logs.values():
        log.close()
    return {name: times[_TURN:] for name, times in found.items()}


def together(home: Home, threads: int, seconds: float = 2.0) -> float:
    """Requests of one row a second that so many threads log, synced."""
    log, done, end = ours(home, "synced"), [0] * threads, time.monotonic() + seconds

    def work(place: int) -> None:
        asked, answered = request(1)
        while time.monotonic() < end:
            log.log(asked, [answered])
            done[place] += 1

    workers = [threading.Thread(target=work, args=(place,)) for place in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    log.close()
    return sum(done) / seconds


def main() -> int:
    """Exit code: 0 if the claim held."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prediction_log", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--rounds", type=int, default=300, help="requests of each way (default 300)")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as place:
        folder, home = Path(place), Home(Path(place) / "home")
        times = {rows: side_by_side(folder, home, rows, rounds) for rows in ROWS}
        shared = {threads: together(home, threads) for threads in (1, 8)}
        begun, cpu = time.perf_counter(), time.process_time()
        answers = ship(home, PROJECT, MODEL).answers
        wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    middle = {rows: {name: statistics.median(each) for name, each in found.items()} for rows, found in times.items()}
    print(table(("ms of a request", *(f"{rows} {what}" for rows in ROWS for what in ("p50", "p99"))), [
        (name, *(f"{value:.3f}" for rows in ROWS
                 for value in (middle[rows][name], float(np.quantile(times[rows][name], 0.99)))))
        for name in times[1]
    ]))  # fmt: skip
    print()
    print(table(("synced requests of one row", "a second"), [
        (f"{threads} thread{'s' if threads > 1 else ''}", f"{each:,.0f}") for threads, each in shared.items()
    ]))  # fmt: skip
    print(f"\nShipped: {answers:,} answers in {wall:.1f} s, {cpu:.1f} s of CPU: {answers / wall:,.0f} a second.")
    quick = all(middle[rows]["ours, flushed"] < most for rows, most in MOST.items())
    ahead = all(middle[100][f"ours, {own}"] < middle[100][f"SQLite, {peer}"]
                for own, peer in (("flushed", "NORMAL"), ("synced", "FULL")))  # fmt: skip
    return 0 if quick and ahead and shared[8] >= SHARED * shared[1] else 1


if __name__ == "__main__":
    raise SystemExit(main())
