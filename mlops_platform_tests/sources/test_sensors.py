"""New files ask for one run, once they are whole; nothing that lands is lost, and no tick does too much."""

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData

from mlops_platform.lineage import data_job
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.sources import sensors, watch
from mlops_platform.sources.ingest import ingest, ledger
from mlops_platform.sources.landing import found_files
from mlops_platform.sources.sensors import landing_sensor
from mlops_platform_tests.lineage.pumps.functions import reading_times
from mlops_platform_tests.lineage.pumps.project import PROJECT, READINGS

NOTHING, ARRIVING, INGESTED, ASKED = (
    "nothing new has landed",
    "files are arriving",
    "all that landed is ingested",
    "these files have been asked for",
)


class Ticks:
    """A landing sensor on its home, five seconds between its ticks."""

    def __init__(self, home: Home, instance: dg.DagsterInstance) -> None:
        self.home, self.instance, self.now, self.cursor = home, instance, time.time(), None
        self.sensor = landing_sensor(PROJECT, data_job(PROJECT), clock=lambda: self.now)

    def tick(self, seconds: float = 5) -> SensorExecutionData:
        self.now += seconds
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        done = self.sensor.evaluate_tick(context)
        self.cursor = done.cursor or self.cursor
        return done

    def said(self, count: int = 1) -> list[str | None]:
        """What each of the next ticks says; None where it asks for a run."""
        ticks = [self.tick() for _ in range(count)]
        return [None if done.run_requests else done.skip_message for done in ticks]

    def keys(self, count: int = 2) -> list[str | None]:
        return [request.run_key for _ in range(count) for request in self.tick().run_requests or []]

    def land(self, name: str, temperature: int = 1, table: str = "readings") -> Path:
        folder = self.home.landing / table
        folder.mkdir(parents=True, exist_ok=True)
        at = pl.datetime(2024, 3, 1, time_zone="UTC")
        frame = pl.select(pump=pl.lit("p1"), at=at, temperature=pl.lit(float(temperature)), vibration=pl.lit(1))
        frame.write_parquet(folder / name)
        return folder / name

    def ingest(self) -> None:
        """What the raw table does in a run that the sensor asked for."""
        raw, refused = self.table(), DeltaDoor(self.home.quarantine_table("pumps", "readings"))
        seen = watch.settled(self.home.landing_memory("pumps"), "readings")
        files = found_files(self.home.landing / "readings", seen)
        ingest(READINGS, reading_times, files, raw, refused, datetime.now(UTC))
        watch.read_now(self.home.landing_memory("pumps"), "readings", files)

    def table(self) -> DeltaDoor:
        return DeltaDoor(self.home.raw_table("pumps", "readings"))

    def ledger(self) -> list[str]:
        return sorted(entry.name for entry in ledger(self.table()))


@pytest.fixture
def ticks(home: Home, use_home: Callable) -> Iterator[Ticks]:
    use_home(home.path)
    with dg.instance_for_test() as instance:
        use_home(home.path)
        yield Ticks(home, instance)


def test_an_empty_landing_asks_nothing(ticks: Ticks) -> None:
    assert ticks.said(2) == [INGESTED, NOTHING]


def test_a_file_is_asked_for_once_it_has_settled(ticks: Ticks) -> None:
    ticks.land("a.parquet")
    assert ticks.said(3) == [ARRIVING, None, ASKED]
    ticks.ingest()
    assert ticks.said(2) == [INGESTED, NOTHING]


def test_a_growing_file_waits_and_holds_back_no_other(ticks: Ticks) -> None:
    growing = ticks.home.landing / "readings" / "growing.parquet"
    ticks.land("a.parquet")
    growing.write_bytes(b"PAR1 and more")
    assert ticks.said() == [ARRIVING]
    growing.write_bytes(b"PAR1 and more and more")
    assert ticks.said() == [None]
    ticks.ingest()
    assert ticks.ledger() == ["a.parquet"]
    ticks.land("growing.parquet", 2)
    assert ticks.said(2) == [ARRIVING, None]
    ticks.ingest()
    assert ticks.ledger() == ["a.parquet", "growing.parquet"]


def test_a_stalled_file_without_its_end_is_given_up_after_a_while(ticks: Ticks) -> None:
    path = ticks.land("cut.parquet")
    path.write_bytes(path.read_bytes()[:-7])
    said = ticks.said(9)
    assert said.index(None) == watch.PATIENCE_SECONDS / 5
    ticks.ingest()
    assert ticks.ledger() == ["cut.parquet"] and ticks.said(2) == [INGESTED, NOTHING]


@pytest.mark.parametrize("name", [".a.parquet", "_a.parquet", "a.parquet.tmp", "a.parquet.part", "a.crdownload", "a~"])
def test_a_temporary_name_is_no_file_until_it_is_renamed(ticks: Ticks, name: str) -> None:
    path = ticks.land(name)
    assert ticks.said(2) == [INGESTED, NOTHING]
    path.rename(path.with_name("a.parquet"))
    assert ticks.said(2) == [ARRIVING, None]


def test_content_seen_before_under_another_name_asks_nothing(ticks: Ticks) -> None:
    ticks.land("a.parquet")
    ticks.said(2)
    ticks.ingest()
    version = ticks.table().version
    ticks.land("b.parquet")
    assert ticks.said(3) == [ARRIVING, INGESTED, NOTHING]
    ticks.ingest()
    assert ticks.table().version == version


def test_new_content_under_a_known_name_asks_again(ticks: Ticks) -> None:
    path = ticks.land("a.parquet")
    ticks.said(2)
    ticks.ingest()
    before = path.stat()
    ticks.land("a.parquet", 2)
    # Even where the writer sets the old time and the size is the same.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert ticks.said(2) == [ARRIVING, None]
    ticks.ingest()
    assert ticks.ledger() == ["a.parquet", "a.parquet"]


def test_a_file_touched_asks_nothing(ticks: Ticks) -> None:
    path = ticks.land("a.parquet")
    ticks.said(2)
    ticks.ingest()
    ticks.said(2)
    os.utime(path)
    assert ticks.said(3) == [ARRIVING, INGESTED, NOTHING]


def test_the_same_content_has_the_same_run_key(ticks: Ticks) -> None:
    ticks.land("a.parquet")
    first = ticks.keys()
    (ticks.home.landing / "readings" / "a.parquet").unlink()
    ticks.cursor = None
    ticks.land("b.parquet")
    assert ticks.keys() == first and len(first) == 1


def test_a_file_deleted_between_sight_and_ingest_is_no_loss_when_it_comes_back(ticks: Ticks) -> None:
    ticks.land("a.parquet", 1)
    path = ticks.land("b.parquet", 2)
    assert ticks.said(2) == [ARRIVING, None]
    data = path.read_bytes()
    path.unlink()
    ticks.ingest()
    assert ticks.ledger() == ["a.parquet"] and ticks.said(2) == [INGESTED, NOTHING]
    path.write_bytes(data)
    assert ticks.said(2) == [ARRIVING, None]
    ticks.ingest()
    assert ticks.ledger() == ["a.parquet", "b.parquet"]


def test_a_file_changed_between_sight_and_ingest_is_taken_when_it_is_whole_again(ticks: Ticks) -> None:
    ticks.land("a.parquet", 1)
    ticks.said(2)
    ticks.land("a.parquet", 2)
    ticks.ingest()
    assert ticks.ledger() == []
    assert ticks.said(2) == [ARRIVING, None]


def test_a_request_that_waits_takes_later_files_too(ticks: Ticks) -> None:
    tags = {"dagster/sensor_name": "pumps_landing"}
    job = dg.GraphDefinition("pumps_data").to_job()
    run = ticks.instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.NOT_STARTED)
    ticks.land("a.parquet")
    assert ticks.said(2) == [ARRIVING, "a run is waiting that will take these files"]
    ticks.instance.report_run_failed(run)
    assert ticks.said() == [None]


def test_ten_thousand_files_at_once_are_hashed_in_bounded_ticks_and_asked_for_together(ticks: Ticks) -> None:
    folder = ticks.home.landing / "plan"
    folder.mkdir(parents=True)
    for number in range(10_000):
        (folder / f"{number}.parquet").write_bytes(f"{number} PAR1".encode())
    asked: list[dg.RunRequest] = []
    longest, sizes = 0.0, []
    for _ in range(6):
        begun = time.perf_counter()
        done = ticks.tick()
        longest = max(longest, time.perf_counter() - begun)
        sizes.append(len(ticks.cursor or ""))
        asked += done.run_requests or []
    assert [request.tags["mlops/new_files"] for request in asked] == ["10000"]
    # Sixty seconds is Dagster's limit; the cursor does not grow with the landing.
    assert longest < 20 and max(sizes) < 500


def test_bytes_beyond_the_budget_wait_for_the_next_tick(ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        ticks.land(f"{number}.parquet", number)
    size = (ticks.home.landing / "readings" / "0.parquet").stat().st_size
    monkeypatch.setattr(sensors, "Budget", lambda: watch.Budget(bytes=2 * size + 10))
    left = "files are being read: 2 are left for the next ticks"
    assert ticks.said(4) == [ARRIVING, left, None, ASKED]


def test_a_file_too_large_for_a_tick_is_read_by_the_ingest(ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "Budget", lambda: watch.Budget(bytes=10))
    ticks.land("a.parquet")
    assert ticks.said(2) == [ARRIVING, None]
    ticks.ingest()
    assert ticks.ledger() == ["a.parquet"] and ticks.said(2) == [INGESTED, NOTHING]


def test_without_its_memory_the_sensor_looks_anew_and_asks_nothing_twice(ticks: Ticks) -> None:
    ticks.land("a.parquet")
    ticks.said(2)
    ticks.ingest()
    ticks.home.landing_memory("pumps").unlink()
    assert ticks.said(3) == [ARRIVING, INGESTED, NOTHING]
