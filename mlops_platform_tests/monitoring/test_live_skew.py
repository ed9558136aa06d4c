"""Logged live answers asked again offline: what was told otherwise is classed, with the lag where it lagged."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlops_platform.monitoring.skew.figures import live_said, live_table
from mlops_platform.monitoring.skew.live import live_content, live_report
from mlops_platform.monitoring.skew.logged import newest_answer, sampled_answers
from mlops_platform.monitoring.skew.online import PackedPath, TemporaryDoor
from mlops_platform.online_store import OnlineFeatures
from mlops_platform.resources.home import Home
from mlops_platform.resources.prediction_log.records import Entry, encode, whole_records
from mlops_platform.resources.prediction_log.rows import rows_of
from mlops_platform_tests.monitoring.machines import (
    HOUR,
    MODEL,
    NAMES,
    PROJECT,
    START,
    TABLE,
    TIME,
    examples,
    readings,
    scorer,
)

ROWS = readings()
NOW = START + timedelta(days=15)
KEYS = {"pump": pl.String()}


def asked(at: datetime = NOW) -> pl.DataFrame:
    """What the offline store answers for every pump at one time; the last one has no rows."""
    rows = examples(ROWS, count=300).select("pump", "inspection_id").unique("pump", maintain_order=True).sort("pump")
    own = rows.with_columns(pl.lit(at).cast(TIME).alias("event_timestamp"))
    return examples_of(own)


def examples_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with the features of the point-in-time join."""
    from mlops_platform.point_in_time import ViewFrame, join_as_of

    view = ViewFrame(
        name=TABLE.name, frame=ROWS.lazy(), keys={"pump": "pump"}, ttl=timedelta(days=1),
        features={column.name: f"{TABLE.name}__{column.name}" for column in TABLE.columns},
        event_timestamp="event_timestamp", known_timestamp="known_timestamp",
    )  # fmt: skip
    return join_as_of(rows.lazy(), [view], event_timestamp="event_timestamp").collect()


def told(
    folder: Path, rows: pl.DataFrame, *, online: pl.DataFrame | None = None, as_of: datetime = NOW
) -> OnlineFeatures:
    """What a store answers that holds the newest rows known by a time."""
    known = (ROWS if online is None else online).filter(
        pl.max_horizontal("event_timestamp", "known_timestamp") <= as_of
    )
    path = PackedPath(TemporaryDoor(Home(folder), PROJECT, path=folder / "online.db"), MODEL, scorer(examples(ROWS)))
    newest = known.sort("event_timestamp", "known_timestamp").unique("pump", keep="last")
    path.write(TABLE, path.pack(TABLE, newest))
    found = path.read(rows)
    path.close()
    return found


def log_of(rows: pl.DataFrame, found: OnlineFeatures, *, marks: str | None = None, at: datetime = NOW) -> pl.LazyFrame:
    """The prediction log, written as live answers are: through the journal's records."""
    answers = pl.DataFrame({
        "prediction_id": [f"o-{at:%Y%m%dT%H%M%S}-{n}" for n in range(rows.height)], "example_id": rows["inspection_id"],
        "event_timestamp": rows["event_timestamp"], "score": np.zeros(rows.height, np.float32),
        "marks": pl.Series([marks] * rows.height, dtype=pl.String),
    })  # fmt: skip
    parts = {"answers": answers, "inputs": rows.select("pump"), "features": found.values, "statuses": found.statuses,
             "events": found.events, "knowns": found.knowns}  # fmt: skip
    entry = Entry(version="1", checkpoint="sha256:1", role="champion", answered_at=at, parts=parts)
    return rows_of(MODEL, whole_records(encode([entry])).payloads).lazy()


def report(log: pl.LazyFrame, *, table: pl.DataFrame = ROWS) -> dict[str, Any]:
    until = newest_answer(log)
    assert until is not None
    logged = sampled_answers(log, PROJECT, MODEL, KEYS, rows=100, until=until)
    offline = examples_of(logged.rows.select("pump", "event_timestamp"))
    return live_report(PROJECT, MODEL, logged, offline, {TABLE.name: table.lazy()})


def classes(found: dict[str, Any]) -> dict[str, dict[str, int]]:
    """By feature that differs, how often by class."""
    short = {each["name"].removeprefix("pump_state__"): each for each in found["features"] if each["mismatched"]}
    return {name: {kind: n for kind, n in each["classes"].items() if n} for name, each in short.items()}


def test_answers_that_were_told_what_was_known_agree_through_the_logs_json(tmp_path: Path) -> None:
    rows = asked()
    found = report(log_of(rows, told(tmp_path, rows)))
    assert (classes(found), found["rows"], found["answers"]) == ({}, rows.height, rows.height)
    assert rows.select(pl.col(NAMES).is_not_null().any()).row(0) == (True,) * len(NAMES)
    assert live_content(found)["beyond"] == {} and "told otherwise: none" in live_said(live_content(found))


def test_a_store_that_lagged_is_late_by_the_time_that_a_newer_row_had_been_known(tmp_path: Path) -> None:
    rows = asked()
    found = report(log_of(rows, told(tmp_path, rows, as_of=NOW - 6 * HOUR)))
    kinds = classes(found)
    assert kinds and all(set(counted) <= {"late", "stale"} for counted in kinds.values())
    (lag,) = {each["longest_lag"] for each in found["features"] if each["name"].endswith("pressure")}
    visible = ROWS.select("pump", at=pl.max_horizontal("event_timestamp", "known_timestamp"))
    since = visible.filter(pl.col("at").is_between(NOW - 6 * HOUR, NOW, closed="right"))["at"].min()
    assert 0 < lag <= (NOW - since).total_seconds() <= 6 * 3600  # type: ignore[operator]
    assert live_content(found)["longest_lag"] >= lag and "had been known for up to" in live_said(live_content(found))
    assert live_table(found).count("\n") == 1 + len(NAMES)


def test_an_entity_that_was_not_online_is_missing(tmp_path: Path) -> None:
    rows = asked()
    there = rows.filter(pl.col("pump_state__pressure").is_not_null())["pump"]
    found = report(log_of(rows, told(tmp_path, rows, online=ROWS.filter(pl.col("pump") != there[0]))))
    assert {kind for counted in classes(found).values() for kind in counted} == {"missing"}


@pytest.mark.parametrize(("planted", "names"), [
    (pl.col("pressure").cast(pl.Float32).cast(pl.Float64), {"pressure"}),
    (pl.col("vibration").fill_null(0.5) + 1, {"vibration"}),
    (pl.col("mode").str.to_uppercase(), {"mode"}),
])  # fmt: skip
def test_a_value_that_no_row_ever_had_is_wrong(planted: pl.Expr, names: set[str], tmp_path: Path) -> None:
    rows = asked()
    found = report(log_of(rows, told(tmp_path, rows, online=ROWS.with_columns(planted))))
    assert set(classes(found)) == names and all(set(each) == {"wrong"} for each in classes(found).values())
    content = live_content(found)
    assert {name.removeprefix("pump_state__") for name in content["wrong"]} == names
    assert content["beyond"].keys() == content["wrong"].keys()


def test_a_row_of_after_the_question_is_early(tmp_path: Path) -> None:
    rows = asked(NOW - 6 * HOUR)
    found = report(log_of(rows, told(tmp_path, rows)))
    assert {kind for counted in classes(found).values() for kind in counted} == {"early"}


def test_a_ttl_that_was_not_enforced_is_stale(tmp_path: Path) -> None:
    rows = asked()
    silent = rows.filter(pl.col("pump_state__pressure").is_null() & (pl.col("pump") != "P4"))
    assert silent.height
    found = told(tmp_path, rows.with_columns(pl.lit(START + timedelta(days=2)).cast(TIME).alias("event_timestamp")))
    # The store judged age by another time than that of the question, and so let old rows pass.
    kinds = classes(report(log_of(rows, found)))
    assert "stale" in {kind for counted in kinds.values() for kind in counted}


def test_a_default_that_a_policy_filled_in_is_no_difference(tmp_path: Path) -> None:
    rows = asked()
    found = told(tmp_path, rows)
    gone = pl.lit(found.statuses["pump_state"]).is_in([1, 2])
    filled = found.values.with_columns(
        pl.when(gone).then(9.5).otherwise("pump_state__pressure").alias("pump_state__pressure")
    )
    marks = '{"pump_state__pressure":"default: missing"}'
    lacking = rows.filter(found.statuses["pump_state"].is_in([1, 2]))
    part = OnlineFeatures(
        values=filled, statuses=found.statuses, events=found.events, knowns=found.knowns,
    )  # fmt: skip
    keep = found.statuses["pump_state"].is_in([1, 2])
    only = OnlineFeatures(**{n: getattr(part, n).filter(keep) for n in ("values", "statuses", "events", "knowns")})
    assert classes(report(log_of(lacking, only, marks=marks))) == {}
    assert set(classes(report(log_of(lacking, only)))) == {"pressure"}


def test_the_sample_is_of_the_newest_day_and_bounded(tmp_path: Path) -> None:
    rows = asked()
    found = told(tmp_path, rows)
    days = [log_of(rows, found, at=NOW + timedelta(hours=hours)) for hours in (-30, -2, 0)]
    log = pl.concat(days)
    batch = days[0].with_columns(pl.lit("batch").alias("mode"), answered_at=pl.col("answered_at") + timedelta(days=9))
    assert newest_answer(pl.concat([log, batch])) == NOW and newest_answer(batch) is None
    assert newest_answer(log.drop("mode")) is None
    logged = sampled_answers(log, PROJECT, MODEL, KEYS, rows=4, until=NOW)
    assert (logged.answers, logged.rows.height) == (2 * rows.height, 4)
    assert set(logged.rows["answered_at"]) == {NOW - 2 * HOUR, NOW}


def test_what_the_log_leaves_out_as_personal_is_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_platform.monitoring.skew import live
    from mlops_platform.resources.prediction_log.personal import PersonalColumns

    personal = PersonalColumns(hashed=frozenset(), left_out=frozenset({"pump_state__mode"}))
    hide: Callable[..., PersonalColumns] = lambda project, model: personal  # noqa: E731
    monkeypatch.setattr(live, "personal_columns", hide)
    rows = asked()
    found = told(tmp_path, rows)
    found = replace(found, values=found.values.drop("pump_state__mode"))
    told_of = report(log_of(rows, found))
    assert told_of["not_compared"] == ["pump_state__mode"] and classes(told_of) == {}
