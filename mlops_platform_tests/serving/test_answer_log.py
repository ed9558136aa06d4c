"""What a live answer leaves in the log: what was asked, what was read, what was answered, each answer once."""

import json
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlops_platform.resources.delta import PARTITION, DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.prediction_log.ids import answered_at_of
from mlops_platform.resources.prediction_log.schema import answered, log_schema
from mlops_platform.resources.prediction_log.segments import pending, segments, unshipped
from mlops_platform.resources.prediction_log.shipping import Shipped, ship
from mlops_platform.serving.question import Question
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT
from mlops_platform_tests.serving.answering import ASKED, answer, asked, log_of, question


def shipped(home: Home) -> Shipped:
    return ship(home, PROJECT, MODEL)


def logged(home: Home) -> pl.DataFrame:
    return DeltaDoor(home.prediction_log("pumps", "pump_repair")).scan().collect().sort("prediction_id")


def waiting(home: Home, prediction_id: str | None = None) -> pl.DataFrame:
    return pending(home, PROJECT, MODEL, prediction_id)


def folder(home: Home) -> Path:
    return home.journals("pumps", "pump_repair")


def test_an_answer_is_found_at_once_and_the_same_in_the_log_later(home: Home) -> None:
    log = log_of(home)
    (prediction,) = asked(log)
    row = waiting(home, prediction)
    assert row.height == 1 and dict(row.schema) == dict(log_schema(MODEL))
    assert shipped(home) == Shipped(waiting=1), "a segment that is being written is left alone"
    assert unshipped(home, PROJECT, MODEL).answers == 1
    log.close()
    assert shipped(home) == Shipped(answers=1, segments=1)
    assert logged(home).select(row.columns).equals(row) and waiting(home).is_empty()
    assert unshipped(home, PROJECT, MODEL).since is None and not segments(folder(home))


def test_a_row_of_the_log_says_all_that_was_asked_read_and_answered(home: Home) -> None:
    log = log_of(home)
    first, second = asked(log, 2)
    log.close()
    shipped(home)
    present, missing = logged(home).rows(named=True)
    assert (present["prediction_id"], missing["prediction_id"]) == (first, second)
    assert present["example_id"] == "P0-20240510" and present["event_timestamp"] == ASKED
    assert (present["score"], present["version"], present["checkpoint"]) == (0.25, "1", "sha256:1")
    assert (present["mode"], present["role"], present["batch"], present["run_id"]) == ("online", "champion", None, None)
    assert present["answered_at"] == answered_at_of(first)
    assert present[PARTITION] == present["answered_at"].strftime("%Y-%m-%d")
    assert json.loads(present["inputs"]) == {"pump": "P0", "weekday": 5}
    features = json.loads(present["features"])
    assert features["pump_state__temperature"] == 61.5
    assert np.float32(features["pump_state__vibration"]) == np.float32(61.5) / 3
    times = json.loads(present["feature_times"])["pump_state"]
    assert times == {"event": ASKED.isoformat(), "known": ASKED.isoformat(), "status": "present"}
    assert present["marks"] is None and json.loads(missing["marks"]) == {"pump_state": "missing"}
    assert json.loads(missing["feature_times"])["pump_state"] == {"event": None, "known": None, "status": "missing"}
    assert set(json.loads(missing["features"]).values()) == {None}


def test_every_role_is_logged_by_its_own_rows_and_only_shadows_were_answered_nobody(home: Home) -> None:
    log, all_three = log_of(home), question(3)
    champion, canary = answer(np.array([0, 2])), answer(np.array([1]), role="canary", version="2")
    shadow = answer(np.arange(3), role="shadow", version="2")
    log.log(all_three, [champion, canary, shadow])
    log.close()
    shipped(home)
    rows = logged(home).group_by("role").agg(pl.col("example_id").sort(), pl.col("version").unique())
    found = {role: (sorted(examples), versions) for role, examples, versions in rows.rows()}
    assert found["champion"] == (["P0-20240510", "P2-20240510"], ["1"])
    assert found["canary"] == (["P1-20240510"], ["2"])
    assert found["shadow"] == (["P0-20240510", "P1-20240510", "P2-20240510"], ["2"])
    told = answered(DeltaDoor(home.prediction_log("pumps", "pump_repair")).scan()).collect()
    assert sorted(told["prediction_id"]) == sorted([*champion.ids, *canary.ids])


def test_requests_of_other_forms_are_logged_together(home: Home) -> None:
    log = log_of(home)
    asked(log, 2)
    given = answer(np.array([1, 0]), given=True)
    bare = question(2).examples.drop("inspection_id", "weekday")
    values = pl.DataFrame({"pump_state__temperature": [1.5, 2.5]})
    log.log(Question(examples=bare.with_columns(pl.col("pump").cast(pl.Categorical)), features=values), [given])
    log.close()
    assert shipped(home).answers == 4
    rows = logged(home).filter(pl.col("prediction_id").is_in(given.ids))
    assert rows["example_id"].null_count() == 2 and rows["feature_times"].null_count() == 2
    assert [json.loads(each) for each in rows["inputs"]] == [{"pump": "P1"}, {"pump": "P0"}]
    assert [json.loads(each) for each in rows["features"]] == [
        {"pump_state__temperature": 2.5}, {"pump_state__temperature": 1.5}]  # fmt: skip


def test_a_segment_that_grew_large_or_old_is_followed_by_the_next(home: Home) -> None:
    log = log_of(home, largest=10_000)
    ids = [each for number in range(8) for each in asked(log, 4, first=number)]
    found = segments(folder(home))
    assert len(found) > 2 and [each.number for each in found] == list(range(1, len(found) + 1))
    before = shipped(home)
    assert (before.segments, before.waiting) == (len(found) - 1, 1)
    until = time.monotonic() + 10
    while shipped(home).waiting and time.monotonic() < until:
        time.sleep(0.05)
    assert sorted(logged(home)["prediction_id"]) == sorted(ids) and not segments(folder(home))
    log.close()


@pytest.mark.parametrize("durability", ["synced", "flushed"])
def test_answers_of_many_threads_are_each_logged_once(home: Home, durability: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    log = log_of(home, durability=durability, largest=100_000)
    with ThreadPoolExecutor(8) as pool:
        ids = [each for some in pool.map(lambda number: asked(log, 2, first=number), range(150)) for each in some]
    log.close()
    assert shipped(home).answers == 300 and sorted(logged(home)["prediction_id"]) == sorted(ids)


def test_many_small_files_of_a_day_become_one_and_older_versions_stay_readable(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops_platform.resources.prediction_log.shipping.MANY", 4)
    table = DeltaDoor(home.prediction_log("pumps", "pump_repair"))
    days: tuple[str, ...] = ()
    for number in range(4):
        log = log_of(home)
        asked(log, 3, first=number)
        log.close()
        before = table.version if table.exists else -1
        days = shipped(home).compacted
    assert len(days) == 1 and table.files().height == 1 and table.files()["rows"].to_list() == [12]
    assert logged(home).height == 12 and logged(home)["prediction_id"].is_unique().all()
    assert table.scan(before).collect().height == 9
