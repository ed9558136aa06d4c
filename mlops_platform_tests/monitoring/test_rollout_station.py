"""The judge's station: it reads log and labels, promises, counts its looks, and what it finds ends the rollout."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import numpy as np
import polars as pl
import pytest

from mlops_platform.cli.outline import outline
from mlops_platform.lineage import build_definitions, data_job
from mlops_platform.monitoring.rollout.events import unjudged
from mlops_platform.monitoring.rollout.report import read_report
from mlops_platform.monitoring.rollout.sensors import rollout_sensor
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.history import Move, PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import MlflowDoor
from mlops_platform.resources.prediction_log.schema import log_rows
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.rollouts import Counts, RolloutRecords
from mlops_platform.resources.station import Progress
from mlops_platform.spec import Rollout
from mlops_platform_tests.lineage.pumps.functions import deliveries
from mlops_platform_tests.lineage.pumps.rollouts import begin
from mlops_platform_tests.lineage.pumps.variants import rolling
from mlops_platform_tests.lineage.run import failures, materialize

pytestmark = pytest.mark.long

PROJECT = rolling(4)
(MODEL,) = PROJECT.models
assert MODEL.serving.rollout is not None
DECLARED: Rollout = MODEL.serving.rollout
BOTH = 'key:"pumps/pump_repair/rollout" or key:"pumps/pump_repair/rollout_decision"'


class Rolling:
    """A home in which version 1 meets live traffic beside version 2, the champion."""

    def __init__(self, home: Home) -> None:
        self.home, self.history = home, PromotionHistory(home, "pumps", "pump_repair")
        self.records = RolloutRecords(home, "pumps", "pump_repair")
        first, live = self.history.moves()[0], self.history.live()
        assert live is not None
        self.challenger, self.champion = str(first.checkpoint), str(live.checkpoint)
        begin(home)

    @property
    def entry(self) -> tuple[str, Move]:
        found = self.history.rollout_entry()
        assert found is not None
        return found

    def asked(self, days: range, *, better: str, kind: str = "shadow", seed: int = 0) -> None:
        """Both versions answer what was inspected on some days of the plan; one of them knows what will be."""
        (rows,) = (
            frame for table, month, frame in deliveries("2024-05") if (table, month) == ("inspections", "2024-05")
        )
        rows = rows.filter(pl.col("at").dt.day().is_in(list(days))).sort("at", "pump")
        label, random = rows["repaired"].to_numpy(), np.random.default_rng(seed)
        good, poor = 0.8 * label + 0.1 + 0.05 * random.random(len(label)), random.random(len(label))
        at = datetime.now(UTC)
        sides = (("champion", "shadow"), ("shadow", "canary"))[kind == "canary"]
        for number, (name, role, version) in enumerate(zip(("champion", "challenger"), sides, "21", strict=True)):
            first = number * len(label)
            frame = rows.select(
                example_id=pl.format("{}-{}", "pump", pl.col("at").dt.strftime("%Y%m%d")),
                event_timestamp=pl.col("at") + timedelta(hours=1),
                prediction_id=pl.Series([f"o-{at:%Y%m%dT%H%M%S%f}-aaaabbbb{first + n:06x}" for n in range(len(label))]),
                score=pl.Series((good if name == better else poor).astype(np.float32)),
                _partition=pl.lit(f"{at:%Y-%m-%d}"),
            )
            logged = log_rows(MODEL, frame, model=MODEL.name, version=version, mode="online", role=role, answered_at=at,
                              checkpoint=getattr(self, name))  # fmt: skip
            DeltaDoor(self.home.prediction_log("pumps", "pump_repair")).append(
                logged, transactions=[f"{at}{name}"], may_widen=True
            )

    def judge(self) -> Artifact:
        result = materialize(self.home, PROJECT, BOTH)
        assert result.success, failures(result)
        return Refs(self.home).read("pumps/pump_repair/rollout")

    def actions(self) -> list[str]:
        return [move.action for move in self.history.moves()]


@pytest.fixture
def rolling_home(moved_home: Home) -> Rolling:
    return Rolling(moved_home)


def test_the_better_challenger_is_promoted_by_its_finding(rolling_home: Rolling, listening: list[Progress]) -> None:
    first = rolling_home.judge()
    assert first.manifest.content["verdict"] == "go on" and "0 labelled questions" in first.manifest.content["reason"]
    promise = rolling_home.records.promise(rolling_home.entry[0])
    assert promise is not None and promise.rollout == rolling_home.entry[0] and promise.finding == first.manifest.digest
    assert rolling_home.records.promise("sha256:of another") is None
    rolling_home.asked(range(1, 3), better="challenger")
    second = rolling_home.judge()
    assert second.manifest.content["labelled"] == 8 and "2 days: 3 are required" in second.manifest.content["reason"]
    rolling_home.asked(range(3, 9), better="challenger", kind="canary", seed=1)
    last = rolling_home.judge()
    content = last.manifest.content
    assert (content["verdict"], content["labelled"], content["answered"]) == ("promote", 32, 32)
    assert {"rollout.json", "rollout.png"} == set(last.manifest.files)
    ended = rolling_home.history.moves()[-1]
    assert (ended.action, ended.champion, ended.previous, ended.ended_by) == ("promote", "1", "2", last.manifest.digest)
    assert ended.reason == content["reason"] and "confidence sequence" in ended.reason
    assert rolling_home.history.rollout() is None
    alias = MlflowDoor(rolling_home.home, "pumps").client.get_model_version_by_alias("pumps.pump_repair", "champion")
    assert str(alias.version) == "1"
    listening.clear()
    assert materialize(rolling_home.home, PROJECT, BOTH).success
    assert [p.skipped for p in listening if p.skipped] == ["no rollout of pump_repair is open"]
    assert rolling_home.actions() == ["promote", "promote", "rollout", "promote"]


def test_the_worse_challenger_is_kept_out_and_the_champion_stays(rolling_home: Rolling) -> None:
    rolling_home.asked(range(1, 10), better="champion")
    finding = rolling_home.judge()
    assert finding.manifest.content["verdict"] == "roll back"
    ended = rolling_home.history.moves()[-1]
    assert (ended.action, ended.version, ended.champion) == ("keep", "1", "2")
    assert list(rolling_home.history.ended_rollouts()) == [rolling_home.challenger]


def test_a_rerun_is_no_further_look_and_renews_the_promise(rolling_home: Rolling, listening: list[Progress]) -> None:
    project = rolling(4, margin=0.0, min_days=3, confidence=0.999999)
    for day in (4, 5):
        rolling_home.asked(range(1, day), better="challenger", seed=day)
        assert materialize(rolling_home.home, project, BOTH).success
    finding = Refs(rolling_home.home).read("pumps/pump_repair/rollout")
    assert [look["number"] for look in read_report(finding)["looks"]] == [1, 2]
    before = rolling_home.records.promise(rolling_home.entry[0])
    listening.clear()
    assert materialize(rolling_home.home, project, BOTH).success
    assert all(p.hit for p in listening if p.seconds is not None)
    after = rolling_home.records.promise(rolling_home.entry[0])
    assert before is not None and after is not None and after.until > before.until
    assert replace(after, at="", until="") == replace(before, at="", until="")
    assert (
        read_report(Refs(rolling_home.home).read("pumps/pump_repair/rollout"))["looks"] == read_report(finding)["looks"]
    )


def test_failures_that_workers_counted_end_it_before_any_label(rolling_home: Rolling) -> None:
    rollout = rolling_home.entry[0]
    rolling_home.records.count(rollout, "a", Counts(scored=50))
    rolling_home.records.count(rollout, "b", Counts(scored=40, failed=10, error="the category is unknown"))
    rolling_home.records.count("sha256:of another", "c", Counts(failed=1000, error="x"))
    finding = rolling_home.judge()
    assert finding.manifest.content["verdict"] == "roll back"
    assert "failed to score 10 of 100" in rolling_home.history.moves()[-1].reason


def test_the_sensor_asks_in_time_and_silence_is_told(rolling_home: Rolling, use_home: Callable) -> None:
    begun = datetime.fromisoformat(rolling_home.entry[1].at)
    use_home(rolling_home.home.path)

    def tick(now: datetime) -> list[dg.RunRequest]:
        sensor = rollout_sensor(PROJECT, data_job(PROJECT), lambda: now)
        repository = build_definitions(PROJECT).get_repository_def()
        with dg.DagsterInstance.get() as instance:
            context = dg.build_sensor_context(instance, repository_def=repository)
            return list(sensor.evaluate_tick(context).run_requests or [])

    (request,) = tick(begun)
    assert [key.path[-1] for key in request.asset_selection or []] == ["rollout", "rollout_decision"]
    assert "has no verdict yet" in request.tags["mlops/because"]
    rolling_home.judge()
    promise = rolling_home.records.promise(rolling_home.entry[0])
    assert promise is not None
    at = datetime.fromisoformat(promise.at)
    assert tick(at + timedelta(minutes=59)) == []
    (later,) = tick(at + timedelta(minutes=61))
    assert later.run_key != request.run_key and "newest verdict is of" in later.tags["mlops/because"]
    home = rolling_home.home
    assert unjudged(PROJECT, home, MODEL, DECLARED, at + timedelta(minutes=179)) is None
    told = unjudged(PROJECT, home, MODEL, DECLARED, at + timedelta(minutes=181))
    assert told is not None and told.kind == "rollout_unjudged" and "meets no traffic" in told.reason
    again = unjudged(PROJECT, home, MODEL, DECLARED, at + timedelta(minutes=300))
    assert again is not None and again.id == told.id
    inspections = home.landing / "inspections"
    pl.read_parquet(inspections / "inspections-2024-05.parquet").head(1).with_columns(
        at=pl.col("at") + timedelta(days=20)
    ).write_parquet(inspections / "new.parquet")
    assert materialize(home, PROJECT, 'key:"pumps/raw/inspections"').success
    (landed,) = tick(at + timedelta(minutes=1))
    assert landed.tags["mlops/because"] == "pump_repair: labels may have become known"


def test_the_graph_of_a_model_with_rollouts_is_what_the_outline_says() -> None:
    graph = build_definitions(PROJECT).resolve_asset_graph()
    assert {planned.station for planned in outline(PROJECT)} == {
        "/".join(key.path) for key in graph.get_all_asset_keys()
    }
    key = dg.AssetKey(["pumps", "pump_repair", "rollout"])
    assert {parent.path[-1] for parent in graph.get(key).parent_keys} == {"champion", "inspections"}
