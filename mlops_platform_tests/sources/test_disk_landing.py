"""Files on a disk are seen while they are written; ten thousand at once take bounded ticks."""

import os
import time
from pathlib import Path

import pytest

from mlops_platform.sources.folders import PATIENCE_SECONDS
from mlops_platform_tests.sources.ticks import ARRIVING, ASKED, INGESTED, NOTHING, Ticks


def path(ticks: Ticks, name: str) -> Path:
    return Path(str(ticks.home.landing)) / "readings" / name


def test_a_file_is_asked_for_once_it_has_settled(on_disk: Ticks) -> None:
    on_disk.land("a.parquet")
    assert on_disk.said(3) == [ARRIVING, None, ASKED]
    on_disk.ingest()
    assert on_disk.said(2) == [INGESTED, NOTHING]


def test_a_growing_file_waits_and_holds_back_no_other(on_disk: Ticks) -> None:
    growing = path(on_disk, "growing.parquet")
    on_disk.land("a.parquet")
    growing.write_bytes(b"PAR1 and more")
    assert on_disk.said() == [ARRIVING]
    growing.write_bytes(b"PAR1 and more and more")
    assert on_disk.said() == [None]
    on_disk.ingest()
    assert on_disk.ledger() == ["a.parquet"]
    on_disk.land("growing.parquet", 2)
    assert on_disk.said(2) == [ARRIVING, None]
    on_disk.ingest()
    assert on_disk.ledger() == ["a.parquet", "growing.parquet"]


def test_a_stalled_file_without_its_end_is_given_up_after_a_while(on_disk: Ticks) -> None:
    on_disk.land("cut.parquet")
    on_disk.place.put("cut.parquet", on_disk.place.get("cut.parquet")[:-7])
    said = on_disk.said(9)
    assert said.index(None) == PATIENCE_SECONDS / 5
    on_disk.ingest()
    assert on_disk.ledger() == ["cut.parquet"] and on_disk.said(2) == [INGESTED, NOTHING]


def test_other_bytes_of_the_old_time_and_size_ask_again(on_disk: Ticks) -> None:
    on_disk.land("a.parquet")
    on_disk.asks()
    on_disk.ingest()
    before = path(on_disk, "a.parquet").stat()
    on_disk.land("a.parquet", 2)
    os.utime(path(on_disk, "a.parquet"), ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path(on_disk, "a.parquet").stat().st_size == before.st_size
    assert on_disk.said(2) == [ARRIVING, None]


@pytest.mark.parametrize("name", ["a\nb.parquet", os.fsdecode(b"\xff.parquet")])
def test_names_that_no_bucket_has(on_disk: Ticks, name: str) -> None:
    on_disk.land(name)
    on_disk.asks()
    on_disk.ingest()
    assert on_disk.ledger() == [name.encode("utf-8", "backslashreplace").decode()] and on_disk.rests()


def test_a_file_touched_asks_nothing(on_disk: Ticks) -> None:
    on_disk.land("a.parquet")
    on_disk.asks()
    on_disk.ingest()
    on_disk.said(2)
    os.utime(path(on_disk, "a.parquet"))
    assert on_disk.said(3) == [ARRIVING, INGESTED, NOTHING]


def test_ten_thousand_files_at_once_are_hashed_in_bounded_ticks_and_asked_for_together(on_disk: Ticks) -> None:
    for number in range(10_000):
        on_disk.place.put(f"{number}.parquet", f"{number} PAR1".encode(), "plan")
    asked, longest, sizes = [], 0.0, []
    for _ in range(6):
        begun = time.perf_counter()
        done = on_disk.tick()
        longest = max(longest, time.perf_counter() - begun)
        sizes.append(len(on_disk.cursor or ""))
        asked += done.run_requests or []
    assert [request.tags["mlops/new_files"] for request in asked] == ["10000"]
    # Sixty seconds is Dagster's limit; the cursor does not grow with the landing.
    assert longest < 20 and max(sizes) < 500
