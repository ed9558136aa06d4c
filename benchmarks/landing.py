"""The landing sensor's tick beside 100,000 known files, and when 10,000 new ones come at once.

Claim: a tick takes under one second with 100,000 known files, whether nothing, one file or a new name for known bytes
has come; and no tick over 10,000 new files comes near Dagster's limit of sixty. The peer is a sensor that only lists
the folder: ``os.scandir`` with a ``stat`` of each file, which no sensor that sees rewritten files can do without.
Measured: ticks of the platform's own sensor, evaluated in this process as the code server does it, on a folder of small
files; wall time of each, the longest of several, after the ticks that saw the files first. The files' content stands in
the raw table's ledger, as after an ingest, in one commit.
"""

import argparse
import os
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime

import dagster as dg
import polars as pl

from benchmarks.homes import fresh
from benchmarks.tables import table
from mlops_platform.lineage import data_job
from mlops_platform.manifest import digest_bytes, short
from mlops_platform.projects.flights.project import PROJECT
from mlops_platform.resources.delta import PARTITION, DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.sources.ingest import FILES, LedgerEntry
from mlops_platform.sources.sensors import landing_sensor

PLACE = "flights"
LIMIT, DAGSTERS = 1.0, 60.0


class Ticks:
    """The sensor on a home, its clock five seconds on at each tick."""

    def __init__(self, home: Home, instance: dg.DagsterInstance) -> None:
        self.now, self.cursor, self.instance = time.time(), "", instance
        self.sensor = landing_sensor(PROJECT, data_job(PROJECT), clock=lambda: self.now)

    def tick(self) -> tuple[float, str]:
        """Seconds that a tick took, and what it said."""
        self.now += 5
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor or None)
        begun = time.perf_counter()
        done = self.sensor.evaluate_tick(context)
        seconds = time.perf_counter() - begun
        self.cursor = done.cursor or self.cursor
        asked = [f"asks for {request.tags['mlops/new_files']}" for request in done.run_requests or []]
        return seconds, asked[0] if asked else str(done.skip_message)

    def until(self, words: str, most: int = 200) -> list[float]:
        """Ticks until one says those words, and their seconds."""
        found = []
        for _ in range(most):
            seconds, said = self.tick()
            found.append(seconds)
            if said.startswith(words):
                return found
        raise SystemExit(f"{most} ticks never said: {words}; the last one said: {said}")


def content(number: int) -> bytes:
    """Bytes of one small file, with a Parquet file's end."""
    return f"{number:>200} PAR1".encode()


def deliver(home: Home, numbers: range, prefix: str = "f") -> None:
    """Writes files into the landing."""
    folder = home.landing / PLACE
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{prefix}{number}.parquet").write_bytes(content(number))


def book(home: Home, numbers: range) -> None:
    """Marks the files as ingested, as the raw table's commit does it."""
    now = datetime.now(UTC).isoformat()
    digests = [digest_bytes(content(number)) for number in numbers]
    entries = [LedgerEntry(name=f"f{number}.parquet", digest=digest, id=short(digest), rows=0, kept=0, quarantined=0,
                           at=now) for number, digest in zip(numbers, digests, strict=True)]  # fmt: skip
    rows = pl.DataFrame({"n": [1], PARTITION: ["2013-01"]})
    DeltaDoor(home.raw_table(PROJECT.name, PLACE)).append(rows, metadata={FILES: [asdict(e) for e in entries]})


def listing_only(home: Home) -> float:
    """Seconds of listing the folder with each file's size and time."""
    begun = time.perf_counter()
    with os.scandir(home.landing / PLACE) as entries:
        facts = [(entry.name, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in entries]
    assert facts
    return time.perf_counter() - begun


def measure(known: int, new: int) -> list[tuple[str, list[float], float]]:
    """What was measured: its name, seconds of its ticks, and what each may take."""
    with fresh() as home, dg.instance_for_test() as instance:
        os.environ["MLOPS_HOME"] = str(home.path)
        ticks = Ticks(home, instance)
        deliver(home, range(known))
        book(home, range(known))
        found = [("first sight of all, no memory", ticks.until("all that landed is ingested"), DAGSTERS)]
        listing_only(home)
        found.append(("peer: scandir and stat alone", [listing_only(home) for _ in range(5)], LIMIT))
        found.append(("nothing new", [ticks.tick()[0] for _ in range(5)], LIMIT))
        deliver(home, range(known, known + 1))
        found.append(("one new file", ticks.until("asks for 1"), LIMIT))
        book(home, range(known, known + 1))
        ticks.until("all that landed is ingested")
        deliver(home, range(1), prefix="again")
        found.append(("known bytes, new name", ticks.until("all that landed is ingested"), LIMIT))
        deliver(home, range(known + 1, known + 1 + new))
        found.append((f"{new:,} new files at once", ticks.until(f"asks for {new}"), DAGSTERS))
    return found


def main() -> int:
    """Exit code 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.landing", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--known", type=int, default=100_000, help="files that the ledger has (100000)")
    parser.add_argument("--new", type=int, default=10_000, help="files that come at once (10000)")
    arguments = parser.parse_args()
    found = measure(arguments.known, arguments.new)
    rows = [(name, len(seconds), f"{max(seconds):.3f}", f"{limit:g}") for name, seconds, limit in found]
    print(table(("tick", "ticks", "longest, s", "may take, s"), rows))
    held = all(max(seconds) < limit for _, seconds, limit in found)
    print(f"claims (each tick in its time, {arguments.known:,} known files): {'held' if held else 'MISSED'}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
