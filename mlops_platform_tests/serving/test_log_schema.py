"""One log for batch and live answers, also in homes older than some of its columns; ids that tell their day."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_platform.errors import PlatformError
from mlops_platform.resources.delta import PARTITION, DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.prediction_log.ids import answered_at_of, batch_of, worker_of
from mlops_platform.resources.prediction_log.personal import Personal
from mlops_platform.resources.prediction_log.schema import answered, log_rows, log_schema
from mlops_platform.serving.batch import log_predictions
from mlops_platform.serving.identity import LiveIds, batch_prediction_id
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT
from mlops_platform_tests.lineage.wells.project import MODEL as WELLS

T = datetime(2024, 3, 1, 7, tzinfo=UTC)
BATCH = "sha256:" + "0123456789ab" * 5
LATER = ("mode", "role", "inputs", "features", "feature_times", "marks", "online")
ANSWERS = pl.DataFrame({
    "prediction_id": ["p-1", "p-2"], "inspection_id": ["P1-1", "P2-1"], "pump": ["P1", "P2"],
    "event_timestamp": pl.Series([T, T], dtype=pl.Datetime("us", "UTC")), "role": ["a pump's", "own column"],
    "score": pl.Series([0.25, 0.75], dtype=pl.Float32),
})  # fmt: skip


def log_batch(log: DeltaDoor, batch: str = BATCH) -> None:
    private = Personal(Home(log.path), PROJECT, MODEL)
    log_predictions(log, ANSWERS, model=MODEL, version="1", checkpoint="sha256:c", batch=batch, run_id="r",
                    private=private)  # fmt: skip


def test_a_batch_is_logged_once_in_the_columns_of_the_log(tmp_path: Path) -> None:
    log = DeltaDoor(tmp_path / "log")
    for _ in range(2):
        log_batch(log)
    rows = log.scan().collect().sort("prediction_id")
    assert rows.schema == log_schema(MODEL) and rows.height == 2
    assert rows["example_id"].to_list() == ["P1-1", "P2-1"] and rows[PARTITION].to_list() == ["2024-03-01"] * 2
    assert set(rows["mode"]) == {"batch"} and set(rows["role"]) == {"champion"} and set(rows["inputs"]) == {None}


def test_the_log_of_an_older_home_gets_the_columns_and_keeps_its_rows(tmp_path: Path) -> None:
    log = DeltaDoor(tmp_path / "log")
    old = log_rows(MODEL, ANSWERS.drop("role"), model="pump_repair", version="1", checkpoint="sha256:c", batch="b",
                   answered_at=T, **{PARTITION: "2024-02-29"}).drop(LATER)  # fmt: skip
    log.append(old)
    assert answered(log.scan()).collect().height == 2
    files = {path: path.read_bytes() for path in log.path.glob("*/*.parquet")}
    log_batch(log)
    rows = log.scan().collect()
    assert dict(rows.schema) == dict(log_schema(MODEL)) and rows.height == 4
    assert rows.filter(pl.col("batch") == "b").select(LATER).null_count().row(0) == (2,) * len(LATER)
    assert rows.filter(pl.col("batch") == "b").drop(LATER).sort("prediction_id").equals(old.sort("prediction_id"))
    assert files == {path: path.read_bytes() for path in files}, "rows that are there are never written again"
    assert answered(log.scan()).collect().height == 4 and log.scan(0).collect().width == old.width


@pytest.mark.parametrize("change", [pl.exclude("run_id"), pl.all().exclude("score"), pl.col("*").cast(pl.String)])
def test_a_log_that_lacks_or_changes_a_column_is_not_appended_to(change: pl.Expr, tmp_path: Path) -> None:
    log = DeltaDoor(tmp_path / "log")
    log_batch(log)
    with pytest.raises(PlatformError, match="keeps its columns"):
        log.append(log.scan().collect().select(change).with_columns(more=1), may_widen=True)
    with pytest.raises(PlatformError, match="keeps its columns"):
        log.append(log.scan().collect().with_columns(more=1))
    assert log.version == 0


def test_a_forecast_is_logged_as_lists(tmp_path: Path) -> None:
    scores = ANSWERS.with_columns(score=pl.Series([[1.0, 2.0], [3.0, 4.0]], dtype=pl.Array(pl.Float32, 2)))
    rows = log_rows(WELLS, scores, model="m")
    assert rows["score"].dtype == pl.List(pl.Float32) and rows["score"].to_list() == [[1.0, 2.0], [3.0, 4.0]]


def test_a_transaction_has_a_number(tmp_path: Path) -> None:
    log = DeltaDoor(tmp_path / "log")
    assert log.transactions(["a"]) == {}
    log.append(pl.DataFrame({"x": [1], PARTITION: ["p"]}), transactions={"a": 3})
    log.append(pl.DataFrame({"x": [2], PARTITION: ["p"]}), transactions={"a": 7, "b": 1})
    assert log.transactions(["a", "b", "c"]) == {"a": 7, "b": 1}


@given(st.datetimes(min_value=datetime(2013, 1, 1), max_value=datetime(2099, 1, 1)), st.integers(-12, 14))
def test_a_live_id_says_its_moment_and_worker_whatever_the_time_zone(at: datetime, hours: int) -> None:
    ids = LiveIds()
    moment = at.replace(tzinfo=UTC)
    (taken,) = ids.take(moment.astimezone(timezone(timedelta(hours=hours))), 1)
    assert answered_at_of(taken) == moment and worker_of(taken) == ids.worker[:8] and batch_of(taken) is None


def test_live_ids_sort_by_time_and_none_is_taken_twice() -> None:
    ids, other = LiveIds(), LiveIds()
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda place: ids.take(T + timedelta(microseconds=place), 3), range(400)))
    flat = [each for some in taken for each in some]
    assert flat == sorted(flat) or all(some == sorted(some) for some in taken)
    assert [some[0][:23] for some in taken] == sorted(some[0][:23] for some in taken)
    assert len({*flat, *other.take(T, 1200)}) == 2400


def test_a_batch_id_says_its_batch_and_ids_of_another_form_say_nothing() -> None:
    assert batch_of(batch_prediction_id(BATCH, "P1-1")) == "0123456789ab"
    assert batch_prediction_id(BATCH, "P1-1") != batch_prediction_id(BATCH, "P2-1")
    for strange in ("p-0123456789abcdef", "o-20240301T070000-1", "", "p-x"):
        assert (batch_of(strange), answered_at_of(strange), worker_of(strange)) == (None, None, None)
