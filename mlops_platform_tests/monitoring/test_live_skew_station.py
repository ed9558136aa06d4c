"""Live skew in the graph: once a day, from answers logged as live answers are, with an event where it is bad."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import dagster as dg
import numpy as np
import polars as pl
import pytest

from mlops_platform.lineage import build_definitions
from mlops_platform.monitoring.skew.events import skew_tellers
from mlops_platform.monitoring.skew.figures import read_live_report
from mlops_platform.online_store import OnlineFeatures
from mlops_platform.resources.home import Home
from mlops_platform.resources.prediction_log.shipping import ship
from mlops_platform.resources.refs import Refs
from mlops_platform.serving.answer_log import AnswerLog
from mlops_platform.serving.question import Answer, Question
from mlops_platform_tests.lineage.pumps.functions import DAYS, START
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT
from mlops_platform_tests.lineage.run import failures, materialize, red_checks
from mlops_platform_tests.monitoring.skewed_store import store_of

pytestmark = pytest.mark.long

STATION = "pumps/pump_repair/live_skew"
NEWEST = START + timedelta(days=DAYS - 1, hours=7)
"""An hour after the newest readings."""


@pytest.fixture
def home(pumps_copy: Home, use_home: Callable) -> Home:
    return use_home(pumps_copy.path)


def answer(home: Home, features: OnlineFeatures, examples: pl.DataFrame) -> None:
    """Logs what a live model would have answered, and ships it."""
    rows, now = examples.height, datetime.now(UTC)
    ids = [f"o-{now:%Y%m%dT%H%M%S%f}-{row}" for row in range(rows)]
    told = Answer(rows=np.arange(rows), ids=ids, scores=np.full(rows, 0.5, np.float32), version="1",
                  checkpoint="sha256:1", role="champion", features=features, marks=[{} for _ in ids],
                  answered_at=now)  # fmt: skip
    log = AnswerLog(home, PROJECT, MODEL)
    log.log(Question(examples=examples), [told])
    log.close()
    assert ship(home, PROJECT, MODEL).answers == rows


def questions() -> pl.DataFrame:
    pumps = pl.Series("pump", ["P0", "P1", "P2", "P3"])
    return pl.DataFrame([pumps, pl.repeat(5, 4, dtype=pl.Int64, eager=True).alias("weekday")]).with_columns(
        pl.lit(NEWEST).cast(pl.Datetime("us", "UTC")).alias("event_timestamp"), inspection_id="pump"
    )


def run(home: Home) -> dg.ExecuteInProcessResult:
    result = materialize(home, PROJECT, f'key:"{STATION}"')
    assert result.success, failures(result)
    return result


def events(home: Home) -> list[str]:
    (teller,) = skew_tellers(PROJECT, home)
    teller.mark()
    return [event.reason for event in teller.events(None)]


def test_a_days_answers_are_asked_again(home: Home) -> None:
    assert not run(home).get_asset_materialization_events() and events(home) == []

    door, examples = store_of(home, PROJECT), questions()
    answer(home, door.read(MODEL, examples), examples)
    result = run(home)
    content = Refs(home).read(STATION).manifest.content
    assert (content["rows"], content["answers"], content["mismatched"], content["wrong"]) == (4, 4, {}, {})
    assert red_checks(result) == {} and events(home) == []

    found = door.read(MODEL, examples)
    hot = found.values.with_columns(pl.col("pump_state__temperature") + 1)
    answer(
        home, OnlineFeatures(values=hot, statuses=found.statuses, events=found.events, knowns=found.knowns), examples
    )
    result = run(home)
    report = read_live_report(Refs(home).read(STATION))
    (bad,) = (each for each in report["features"] if each["mismatched"])
    assert (bad["name"], bad["rate"], bad["classes"]["wrong"]) == ("pump_state__temperature", 0.5, 4)
    assert bad["example"]["online"] == bad["example"]["offline"] + 1
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert {name: check.passed for name, check in checks.items()} == {
        "live_features_agree": False, "no_live_value_is_wrong": False,
    }  # fmt: skip
    assert all(check.severity == dg.AssetCheckSeverity.WARN for check in checks.values())
    (reason,) = events(home)
    assert reason.startswith("pump_state__temperature: 8 of 8 live answers asked again; values told otherwise: 4 wrong")


def test_it_is_asked_for_once_a_day_and_made_up_for(home: Home) -> None:
    definitions, key = build_definitions(PROJECT), dg.AssetKey(STATION.split("/"))
    selection = dg.AssetSelection.assets(key)
    start = datetime(2031, 5, 5, 12, 0, tzinfo=UTC)
    with dg.DagsterInstance.get() as instance:
        cursor, asked = None, []
        for hours in (0, 1, 17, 17.1, 23, 41, 41.1, 96):
            result = dg.evaluate_automation_conditions(
                definitions, instance, asset_selection=selection, cursor=cursor,
                evaluation_time=start + timedelta(hours=hours),
            )  # fmt: skip
            cursor = result.cursor
            asked.append(result.get_num_requested(key))
    # 04:17 is passed before the third look and the sixth; before the last one twice, which are made up for once.
    assert asked == [0, 0, 1, 0, 0, 1, 0, 1]


def test_no_delivery_and_no_training_asks_for_it() -> None:
    definitions, key = build_definitions(PROJECT), dg.AssetKey(STATION.split("/"))
    for job in ("pumps_data", "pumps_pump_repair_training"):
        assert key not in definitions.resolve_job_def(job).asset_layer.executable_asset_keys
