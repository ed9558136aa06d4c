"""How long the whole answer to "why did the model say that?" takes where a million predictions are logged.

Claim: ``why`` of a live answer and of one of a batch takes at most 100 ms (median) in a process that has asked before:
the log's row, the feature rows, each computed again, their raw rows and files, the version with its decisions, verdict
and evaluation, and the runs. The peer is what a user would do for the first step alone, a filter over the whole log by
polars, which skips files by the statistics of ids alike; neither MLflow nor Feast has such a walk, so there is no peer
for the rest.
Measured: the flights project, materialized; beside its own answers a million live ones in its prediction log, shipped
in 400 commits over 400 days, each with the question and the feature rows of an answer of the batch, so that there is
something to walk back to. Ids are asked at random; the cold figure is the first walk of a fresh process, its imports
apart. Wall times; CPU beside them, since the machine may be shared.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.homes import ROOT, fresh, land, load, materialize, use
from benchmarks.tables import table
from mlops_platform.resources.home import Home

CLAIMED, DAYS, MODEL = 0.100, 400, "flight_delay"
_FIRST = datetime(2025, 1, 1, tzinfo=UTC)
_TEMPLATES = 50


@contextmanager
def home_of(path: Path | None) -> Iterator[Home]:
    """A home with answers: the one named, to which answers are added, or a new one."""
    if path is not None:
        yield use(path)
        return
    with fresh() as home:
        land(home, "2013-04")
        materialize(home, load())
        yield home


def templates(home: Home) -> list[dict[str, Any]]:
    """Rows of the log as live answers to the questions of the batch would have left them."""
    from mlops_platform.projects.flights.project import PROJECT
    from mlops_platform.provenance.walk import why

    told = []
    for asked in ids_of(home, "p-")[:_TEMPLATES]:
        found = why(home, PROJECT, asked)
        features = {f"{row.view}__{name}": value for row in found.features for name, value in row.values.items()}
        times = {row.view: {"event": text(row.event_timestamp), "known": text(row.known_timestamp),
                            "status": row.status} for row in found.features}  # fmt: skip
        inputs = {name: text(value) if isinstance(value, datetime) else value for name, value in found.inputs.items()}
        told.append({**{name: found.prediction[name] for name in ("example_id", "event_timestamp", "score", "version",
                                                                  "checkpoint")},
                     "inputs": json.dumps(inputs), "features": json.dumps(features),
                     "feature_times": json.dumps(times)})  # fmt: skip
    return told


def text(moment: datetime | None) -> str | None:
    """A time as the log writes it."""
    return moment.isoformat() if moment else None


def ids_of(home: Home, start: str) -> list[str]:
    """Ids in the log that begin so."""
    import polars as pl

    from mlops_platform.resources.delta import DeltaDoor

    log = DeltaDoor(home.prediction_log("flights", MODEL)).scan()
    found = log.filter(pl.col("prediction_id").str.starts_with(start)).select("prediction_id").collect()
    return found["prediction_id"].sort().to_list()


def grow(home: Home, rows: int) -> None:
    """Logs so many live answers, a commit for each day."""
    import polars as pl

    from mlops_platform.projects.flights.project import PROJECT
    from mlops_platform.resources.delta import PARTITION, DeltaDoor
    from mlops_platform.resources.prediction_log.schema import log_rows

    model, log = PROJECT.model(MODEL), DeltaDoor(home.prediction_log("flights", MODEL))
    some, each = pl.DataFrame(templates(home)), rows // DAYS
    for day in range(DAYS):
        start = _FIRST + timedelta(days=day)
        at = [start + timedelta(seconds=86_000 * number / each) for number in range(each)]
        named = [f"o-{moment:%Y%m%dT%H%M%S%f}-0123abcd{number:06x}" for number, moment in enumerate(at)]
        picked = some[[(number * 7 + day) % some.height for number in range(each)]]
        frame = picked.with_columns(
            prediction_id=pl.Series(named), answered_at=pl.Series(at).cast(pl.Datetime("us", "UTC"))
        ).with_columns(pl.lit(f"{start:%Y-%m-%d}").alias(PARTITION))
        log.append(log_rows(model, frame, model=MODEL, mode="online", role="champion"), may_widen=True)


def timed(work: Callable[[str], object], asked: list[str]) -> tuple[float, float, float]:
    """Median and 95th percentile of the seconds, and the mean CPU seconds, of a call for each id."""
    seconds, cpu = [], time.process_time()
    for one in asked:
        begun = time.perf_counter()
        work(one)
        seconds.append(time.perf_counter() - begun)
    spent = (time.process_time() - cpu) / len(asked)
    return statistics.median(seconds), sorted(seconds)[int(len(seconds) * 0.95)], spent


def cold(home: Home, asked: str) -> float:
    """Seconds of the first walk of a fresh process."""
    command = [sys.executable, "-m", "benchmarks.why", "--home", str(home.path), "--once", asked]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)


def once(home: Home, asked: str) -> None:
    """Prints what one walk takes here, imports apart."""
    import polars as pl

    from mlops_platform.projects.flights.project import PROJECT
    from mlops_platform.provenance.walk import why

    pl.LazyFrame({"a": [1]}).collect()
    begun = time.perf_counter()
    why(home, PROJECT, asked)
    print(time.perf_counter() - begun)


def measured(home: Home, asked: int) -> tuple[list[tuple[str, ...]], bool]:
    """The figures, and whether the claim held."""
    import polars as pl

    from mlops_platform.projects.flights.project import PROJECT
    from mlops_platform.provenance.walk import why

    chance, rows, held = random.Random(7), [], True
    path = str(home.prediction_log("flights", MODEL))
    live = ids_of(home, "o-")
    for name, known in (("live", live), ("batch", ids_of(home, "p-"))):
        ids = chance.sample(known, asked)
        first = cold(home, ids[0])
        for one in ids[:3]:
            why(home, PROJECT, one)
        median, worst, cpu = timed(lambda one: why(home, PROJECT, one), ids)
        held &= median <= CLAIMED
        rows.append((f"why of a {name} answer", *(f"{value * 1000:,.0f}" for value in (median, worst, cpu, first))))
    scan = timed(lambda one: pl.scan_delta(path).filter(pl.col("prediction_id") == one).collect(),
                 chance.sample(live, 5))  # fmt: skip
    rows.append(("only the row, by a filter over the log (polars)", *(f"{v * 1000:,.0f}" for v in scan), ""))
    return rows, held


def main() -> int:
    """Exit code 1 if the claim does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.why", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--rows", type=int, default=1_000_000, help="live answers to log")
    parser.add_argument("--asked", type=int, default=40, help="how many answers of each kind are explained")
    parser.add_argument("--home", type=Path, help="a materialized home of the flights; answers are ADDED to its log")
    parser.add_argument("--once", metavar="ID", help="only time one walk here, and print its seconds")
    arguments = parser.parse_args()
    if arguments.once:
        once(use(arguments.home), arguments.once)
        return 0
    with home_of(arguments.home) as home:
        if not ids_of(home, "o-"):
            grow(home, arguments.rows)
        rows, held = measured(home, arguments.asked)
        count = len(ids_of(home, ""))
    print(f"{count:,} predictions are logged; milliseconds\n")
    print(table(("asked", "median", "95 %", "CPU, mean", "cold"), rows))
    print(f"claim: {'held' if held else 'MISSED'}; at most {CLAIMED * 1000:.0f} ms, median, warm")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
