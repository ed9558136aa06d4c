"""New files ask for one run; nothing that lands is lost, and no tick does too much: on a disk and in a bucket alike."""

import time

import dagster as dg
import pytest

from mlops_platform.sources import sensors, watch
from mlops_platform_tests.sources.ticks import ARRIVING, ASKED, INGESTED, NOTHING, Ticks

HOSTILE = (
    "a b.parquet", "a%20b.parquet", "a+b.parquet", "a#b.parquet", "a?b=1.parquet", "ü.parquet", "u\u0308.parquet",
    "a&b.parquet", "a\\b.parquet", "x=1.parquet", '"q".parquet', "it's.parquet", "<x>.parquet", "b...parquet",
    "a;b.parquet", "*.parquet", "日本.parquet", "a\tb.parquet", "PARQUET", "s3:", "-rf.parquet",
    "x" * 200,
)  # fmt: skip


def test_an_empty_landing_asks_nothing(ticks: Ticks) -> None:
    assert ticks.said(2) == [INGESTED, NOTHING]


def test_a_new_file_is_asked_for_once(ticks: Ticks) -> None:
    ticks.land("a.parquet")
    ticks.asks()
    assert ticks.said() == [ASKED]
    ticks.ingest()
    assert ticks.ledger() == ["a.parquet"] and ticks.rests()


@pytest.mark.parametrize("name", [".a.parquet", "_a.parquet", "a.parquet.tmp", "a.parquet.part", "a.crdownload", "a~"])
def test_a_temporary_name_is_no_file_until_it_is_renamed(ticks: Ticks, name: str) -> None:
    ticks.land(name)
    assert ticks.said(2) == [INGESTED, NOTHING]
    data = ticks.place.get(name)
    ticks.place.delete(name)
    ticks.place.put("a.parquet", data)
    ticks.asks()


def test_content_seen_before_under_another_name_asks_nothing(ticks: Ticks) -> None:
    ticks.land("a.parquet")
    ticks.asks()
    ticks.ingest()
    version = ticks.table().version
    ticks.land("b.parquet")
    assert ticks.rests()
    ticks.ingest()
    assert ticks.table().version == version


def test_new_content_of_the_same_size_under_a_known_name_asks_again(ticks: Ticks) -> None:
    ticks.land("a.parquet")
    ticks.asks()
    ticks.ingest()
    assert ticks.rests()
    before = ticks.place.get("a.parquet")
    # The sensor's clock has gone on by seconds; so must the store's, which counts whole ones.
    time.sleep(1 - time.time() % 1)
    ticks.land("a.parquet", 2)
    assert len(ticks.place.get("a.parquet")) == len(before)
    ticks.asks()
    ticks.ingest()
    assert ticks.ledger() == ["a.parquet", "a.parquet"]


def test_the_same_content_has_the_same_run_key(ticks: Ticks) -> None:
    ticks.land("a.parquet")
    first = ticks.asks().run_key
    ticks.place.delete("a.parquet")
    ticks.cursor = None
    ticks.land("b.parquet")
    assert ticks.asks().run_key == first


def test_a_file_deleted_between_sight_and_ingest_is_no_loss_when_it_comes_back(ticks: Ticks) -> None:
    ticks.land("a.parquet", 1)
    ticks.land("b.parquet", 2)
    ticks.asks()
    data = ticks.place.get("b.parquet")
    ticks.place.delete("b.parquet")
    ticks.ingest()
    assert ticks.ledger() == ["a.parquet"] and ticks.rests()
    ticks.place.put("b.parquet", data)
    ticks.asks()
    ticks.ingest()
    assert ticks.ledger() == ["a.parquet", "b.parquet"]


def test_a_file_changed_between_sight_and_ingest_is_taken_as_it_is_then(ticks: Ticks) -> None:
    ticks.land("a.parquet", 1)
    first = ticks.asks().run_key
    ticks.land("a.parquet", 2)
    ticks.ingest()
    assert ticks.ledger() == []
    assert ticks.asks().run_key != first
    ticks.ingest()
    assert ticks.ledger() == ["a.parquet"] and ticks.rests()


def test_a_request_that_waits_takes_later_files_too(ticks: Ticks) -> None:
    tags = {"dagster/sensor_name": "pumps_landing"}
    job = dg.GraphDefinition("pumps_data").to_job()
    run = ticks.instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.NOT_STARTED)
    ticks.land("a.parquet")
    said = ticks.said(2)
    assert said[-1] == "a run is waiting that will take these files" and None not in said
    ticks.instance.report_run_failed(run)
    assert ticks.said() == [None]


def test_hostile_names_are_names(ticks: Ticks) -> None:
    for number, name in enumerate(HOSTILE):
        ticks.land(name, number)
    assert ticks.asks().tags["mlops/new_files"] == str(len(HOSTILE))
    ticks.ingest()
    assert ticks.ledger() == sorted(HOSTILE) and ticks.rests()


def test_bytes_beyond_the_budget_wait_for_the_next_tick(ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        ticks.land(f"{number}.parquet", number)
    size = len(ticks.place.get("0.parquet"))
    monkeypatch.setattr(sensors, "budget_for", lambda _: watch.Budget(bytes=2 * size + 10))
    said = [each for each in ticks.said(4) if each != ARRIVING]
    assert said[:3] == ["files are being read: 2 are left for the next ticks", None, ASKED]


def test_what_a_tick_has_no_time_for_waits_for_the_next(ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks.land("a.parquet")
    monkeypatch.setattr(sensors, "budget_for", lambda _: watch.Budget(seconds=-1))
    assert ticks.said(2)[-1] == "files are being read: 1 are left for the next ticks"
    monkeypatch.undo()


def test_a_file_too_large_for_a_tick_is_read_by_the_ingest(ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "budget_for", lambda _: watch.Budget(bytes=10))
    ticks.land("a.parquet")
    ticks.asks()
    ticks.ingest()
    assert ticks.ledger() == ["a.parquet"] and ticks.rests()


def test_without_its_memory_the_sensor_looks_anew_and_asks_nothing_twice(ticks: Ticks) -> None:
    ticks.land("a.parquet")
    ticks.asks()
    ticks.ingest()
    ticks.home.landing_memory("pumps").unlink()
    assert ticks.rests()


def test_by_hand_all_files_are_found_and_those_known_are_known_still(ticks: Ticks) -> None:
    for number in range(3):
        ticks.land(f"{number}.parquet", number)
    found = watch.files_now(ticks.home, "pumps", "readings")
    assert [file.name for file in found] == ["0.parquet", "1.parquet", "2.parquet"]
    assert watch.files_now(ticks.home, "pumps", "readings") == found
    # What a person has looked at is no less new to the sensor.
    assert ticks.asks(3).tags["mlops/new_files"] == "3"
