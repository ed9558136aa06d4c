"""A rollout from the gate to its end: live answers of both versions, labels that land, a judge, an alias that moves."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from mlops_platform.registry.events import kind_of
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.rollouts import RolloutRecords
from mlops_platform.serving.answer_log import AnswerLog
from mlops_platform.serving.live import LiveModel
from mlops_platform.serving.question import Question
from mlops_platform.spec import Project
from mlops_platform_tests.lineage.pumps.rollouts import begin
from mlops_platform_tests.lineage.pumps.variants import rolling
from mlops_platform_tests.lineage.run import failures, materialize

pytestmark = pytest.mark.long

JUDGED = 'key:"pumps/raw/inspections" or key:"pumps/pump_repair/rollout" or key:"pumps/pump_repair/rollout_decision"'
FIRST = datetime(2024, 5, 20, 6, tzinfo=UTC)


def mornings(days: int) -> pl.DataFrame:
    """What will be asked, and what will come of it."""
    rows = pl.DataFrame({"day": range(days)}).join(pl.DataFrame({"number": range(4)}), how="cross")
    wave = (pl.col("day") * 7 + pl.col("number") * 13) % 17
    at = pl.lit(FIRST) + pl.duration(days=pl.col("day"))
    return rows.select(
        pump=pl.format("P{}", "number"), at=at, event_timestamp=at + timedelta(hours=1),
        inspection_id=pl.format("P{}-{}", "number", at.dt.strftime("%Y%m%d")),
        weekday=at.dt.weekday().cast(pl.Int64), repaired=((wave - 8).abs() <= 3).cast(pl.Int64),
        pump_state__temperature=(60.0 + wave).cast(pl.Float32), pump_state__vibration=(wave % 5).cast(pl.Float32),
    )  # fmt: skip


def ask(home: Home, project: Project, rows: pl.DataFrame) -> set[tuple[str, str]]:
    """Each morning is asked about, one question a day; who answered, in which role, as callers see it."""
    (model,) = project.models
    log, told = AnswerLog(home, project, model), set[tuple[str, str]]()
    live = LiveModel(home, project, model, log=log.log, every=None)
    live.refresh()
    for _, day in rows.group_by("at", maintain_order=True):
        question = Question(
            examples=day.select("pump", "event_timestamp", "weekday", "inspection_id"),
            features=day.select("pump_state__temperature", "pump_state__vibration"),
        )
        told |= {(answer.role, answer.version) for answer in live.answer(question)}
    live.close()
    log.close()
    return told


def run(home: Home, project: Project, selection: str) -> None:
    result = materialize(home, project, selection)
    assert result.success, failures(result)


def test_a_challenger_meets_traffic_is_judged_by_labels_and_becomes_champion(moved_home: Home) -> None:
    home, project = moved_home, rolling(8, margin=0.5)
    history, rows = PromotionHistory(home, "pumps", "pump_repair"), mornings(8)
    run(home, project, "*")
    entry = history.rollout_entry()
    assert entry is not None and (entry[1].version, entry[1].champion) == ("3", "2")
    promise = RolloutRecords(home, "pumps", "pump_repair").promise(entry[0])
    assert promise is not None and promise.verdict == "go on"

    assert ask(home, project, rows) == {("champion", "2")}
    run(home, project, JUDGED)
    unlabelled = Refs(home).read("pumps/pump_repair/rollout").manifest.content
    assert (unlabelled["verdict"], unlabelled["answered"], unlabelled["labelled"]) == ("go on", 32, 0)
    logged = DeltaDoor(home.prediction_log("pumps", "pump_repair")).scan().filter(pl.col("mode") == "online").collect()
    assert logged.group_by("role", "version").len().sort("role").rows() == [("champion", "2", 32), ("shadow", "3", 32)]

    rows.select("pump", "at", "repaired").write_parquet(home.landing / "inspections" / "late.parquet")
    run(home, project, JUDGED)
    finding = Refs(home).read("pumps/pump_repair/rollout").manifest
    assert (finding.content["verdict"], finding.content["labelled"]) == ("promote", 32), finding.content["reason"]
    assert [move.action for move in history.moves()] == ["promote", "promote", "rollout", "promote"]
    ended = history.moves()[-1]
    assert (ended.champion, ended.ended_by, ended.reason) == ("3", finding.digest, finding.content["reason"])
    assert ask(home, project, rows.head(4)) == {("champion", "3")}

    # Another one, of which nobody would want the answers, is kept out by a hundred of them, before any label.
    far = rolling(8, kind="canary", share=0.999, max_disagreement=1e-9)
    begin(home)
    assert ("canary", "1") in ask(home, far, mornings(30))
    run(home, far, JUDGED)
    assert (history.moves()[-1].action, history.moves()[-1].version) == ("keep", "1")
    assert "Scores differ by" in history.moves()[-1].reason
    assert kind_of(history.moves()[-1], history.moves()[-2]) == "rollout_ended"
    assert ask(home, far, rows.head(4)) == {("champion", "3")}
