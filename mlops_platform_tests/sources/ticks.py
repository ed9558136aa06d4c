"""A landing sensor on its home, five seconds between its ticks, over a landing on a disk or in a bucket."""

import io
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import dagster as dg
import polars as pl
from dagster._core.definitions.sensor_definition import SensorExecutionData

from mlops_platform.lineage import data_job
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.sources.ingest import ingest, ledger
from mlops_platform.sources.sensors import landing_sensor
from mlops_platform.sources.watch import files_now, read_now
from mlops_platform_tests.lineage.pumps.functions import reading_times
from mlops_platform_tests.lineage.pumps.project import PROJECT, READINGS
from mlops_platform_tests.sources.buckets import Bucket

NOTHING, ARRIVING, INGESTED, ASKED = (
    "nothing new has landed",
    "files are arriving",
    "all that landed is ingested",
    "these files have been asked for",
)


class Place(Protocol):
    """Where an upstream delivers, as the upstream sees it."""

    def put(self, name: str, data: bytes, table: str = "readings") -> None: ...

    def get(self, name: str) -> bytes: ...

    def delete(self, name: str) -> None: ...


class Disk:
    """A folder."""

    def __init__(self, home: Home) -> None:
        assert isinstance(home.landing, Path)
        self.root = home.landing

    def put(self, name: str, data: bytes, table: str = "readings") -> None:
        (self.root / table).mkdir(parents=True, exist_ok=True)
        (self.root / table / name).write_bytes(data)

    def get(self, name: str) -> bytes:
        return (self.root / "readings" / name).read_bytes()

    def delete(self, name: str) -> None:
        (self.root / "readings" / name).unlink()


class Prefix:
    """A prefix of a bucket."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self.bucket, self.prefix = bucket, prefix

    def put(self, name: str, data: bytes, table: str = "readings") -> None:
        self.bucket.put(f"{self.prefix}/{table}/{name}", data)

    def get(self, name: str) -> bytes:
        return self.bucket.get(f"{self.prefix}/readings/{name}")

    def delete(self, name: str) -> None:
        self.bucket.delete(f"{self.prefix}/readings/{name}")


class Ticks:
    """The sensor, its home and the place where files land."""

    def __init__(self, home: Home, instance: dg.DagsterInstance, place: Place) -> None:
        self.home, self.instance, self.place = home, instance, place
        self.now, self.cursor = time.time(), None
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

    def asks(self, most: int = 2) -> dg.RunRequest:
        """The request that comes within so many ticks."""
        for _ in range(most):
            if asked := self.tick().run_requests:
                assert len(asked) == 1, asked
                return asked[0]
        raise AssertionError(f"nothing was asked for in {most} ticks")

    def rests(self) -> bool:
        """Whether the sensor finds that all is ingested, and then nothing to look at."""
        said = self.said(4)
        return set(said) <= {ARRIVING, INGESTED, NOTHING} and said[-1] == NOTHING and INGESTED in said

    def land(self, name: str, temperature: int = 1, table: str = "readings") -> None:
        at = pl.datetime(2024, 3, 1, time_zone="UTC")
        frame = pl.select(pump=pl.lit("p1"), at=at, temperature=pl.lit(float(temperature)), vibration=pl.lit(1))
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        self.place.put(name, buffer.getvalue(), table)

    def ingest(self) -> None:
        """What the raw table does in a run that the sensor asked for."""
        raw, refused = self.table(), DeltaDoor(self.home.quarantine_table("pumps", "readings"))
        files = files_now(self.home, "pumps", "readings", seen=True)
        ingest(READINGS, reading_times, files, raw, refused, datetime.now(UTC))
        read_now(self.home.landing_memory("pumps"), "readings", files)

    def table(self) -> DeltaDoor:
        return DeltaDoor(self.home.raw_table("pumps", "readings"))

    def ledger(self) -> list[str]:
        return sorted(entry.name for entry in ledger(self.table()))
