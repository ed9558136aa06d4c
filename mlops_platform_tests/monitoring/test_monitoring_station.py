"""The report through the life of a champion: labels arrive, are corrected, and turn out otherwise than predicted."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from mlops_platform.cli.standing import standings
from mlops_platform.monitoring.figures import read_report
from mlops_platform.monitoring.live import evaluation_of
from mlops_platform.registry.alias import ChampionAlias
from mlops_platform.registry.by_person import Asked, rollback
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import MlflowDoor
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.station import Progress
from mlops_platform.spec import Monitoring, Project
from mlops_platform_tests.conftest import _copied
from mlops_platform_tests.lineage.pumps.functions import deliveries
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT
from mlops_platform_tests.lineage.pumps.variants import BETTER
from mlops_platform_tests.lineage.run import failures, land, materialize, red_checks

pytestmark = pytest.mark.long

STATION = "pumps/pump_repair/monitoring"
NO_TRAINING = 'group:"sources" or group:"features" or group:"serving" or group:"monitoring"'
CHECK = f"{STATION}:live_quality"
LOGGED = ("answers", "repeated")


def watched(min_days: int = 2) -> Project:
    """The pumps, judged on few rows of few days."""
    changed = replace(MODEL, monitoring=Monitoring(min_rows=4, min_days=min_days))
    return replace(PROJECT, models=(changed,))


@pytest.fixture
def spring(april: Path, tmp_path: Path, use_home: Callable[[Path], Home]) -> Home:
    """A copy that a test may change."""
    use_home(tmp_path / "home")
    return _copied(april, tmp_path)


def run(home: Home, project: Project, selection: str = NO_TRAINING) -> dg.ExecuteInProcessResult:
    result = materialize(home, project, selection)
    assert result.success, failures(result)
    return result


def report(home: Home) -> Artifact:
    return Refs(home).read(STATION)


def days_go_by(home: Home, project: Project, days: int) -> None:
    """Day by day, readings arrive and outcomes as they were predicted; the champion answers for the next day."""
    months = {table: frame for table, month, frame in deliveries("2024-05") if month == "2024-05"}
    for day in range(1, days + 1):
        morning = pl.col("at").dt.strftime("%Y-%m-%d") == f"2024-05-{day:02}"
        months["readings"].filter(morning).write_parquet(home.landing / "readings" / f"readings-{day}.parquet")
        outcomes(home, f"inspections-{day}", morning, as_predicted=True)
        run(home, project)


def outcomes(home: Home, name: str, morning: pl.Expr, *, as_predicted: bool) -> None:
    """Lands outcomes of predictions: the half of each day with the higher scores is repaired, or the other half."""
    log = DeltaDoor(home.prediction_log("pumps", "pump_repair")).scan().collect()
    asked = log.with_columns(
        pump=pl.col("example_id").str.slice(0, 2), at=pl.col("event_timestamp") - timedelta(hours=1)
    )
    high = pl.col("score") > pl.col("score").median().over("at")
    rows = asked.filter(morning).select("pump", "at", repaired=(high == as_predicted).cast(pl.Int64))
    rows.write_parquet(home.landing / "inspections" / f"{name}.parquet")


def test_a_month_of_labels_comes_to_the_report_of_the_champion_that_predicted_them(
    spring: Home, listening: list[Progress]
) -> None:
    before = report(spring).manifest.content
    assert (before["rows"], before["answers"], before["bad"]) == (0, 4, False)
    assert "0 of 4 predictions have a known label" in before["reason"]

    land(spring, PROJECT, "2024-05")
    result = run(spring, watched())
    assert red_checks(result) == {}
    found = report(spring)
    content, live = found.manifest.content, PromotionHistory(spring, "pumps", "pump_repair").live()
    assert (content["version"], content["checkpoint"]) == ("1", live.checkpoint)
    assert (content["rows"], content["positives"], content["answers"]) == (4, 2, 8)
    assert (content["days"], content["labelled"], content["bad"]) == (1, 4, False)
    assert "Not judged: 4 of 8 predictions have a known label, of 1 day only, and 2 are needed" in content["reason"]
    assert content["since"] == content["until"] == "2024-05-01T07:00:00+00:00"
    evaluated = Refs(spring).read("pumps/pump_repair/evaluation").manifest
    assert content["expected"] == evaluated.content["metrics"]["challenger"]["roc_auc"]
    assert content["evaluation"] == evaluated.digest == found.manifest.recipe.inputs["evaluation"]
    assert read_report(found)["weeks"][0]["week"] == "2024-04-29"
    assert found.file("quality.png").read_bytes().startswith(b"\x89PNG")

    listening.clear()
    run(spring, watched())
    assert [p.station for p in listening if p.seconds is not None and not p.hit and not p.skipped] == []


def test_labels_that_turn_out_otherwise_are_red_and_a_correction_mends_it(spring: Home) -> None:
    days_go_by(spring, watched(), 2)
    good = report(spring).manifest.content
    assert (good["bad"], good["live"], good["rows"], good["answers"]) == (False, 1.0, 8, 12)
    assert "is not shown to be worse than the evaluation's" in good["reason"]

    answered = pl.col("at").dt.strftime("%d").cast(pl.Int64) <= 2
    outcomes(spring, "a-otherwise", answered, as_predicted=False)
    result = run(spring, watched())
    content = report(spring).manifest.content
    assert (content["live"], content["rows"], content["positives"]) == (0.0, 8, 4)
    assert content["bad"] and "is worse than the evaluation's" in content["reason"]
    (warned,) = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert (warned.check_name, warned.severity) == ("live_quality", dg.AssetCheckSeverity.WARN)
    assert warned.description == content["reason"] and set(red_checks(result)) == {CHECK}

    outcomes(spring, "b-mended", answered, as_predicted=True)
    assert red_checks(run(spring, watched())) == {}
    assert report(spring).manifest.content == {**good, **{n: report(spring).manifest.content[n] for n in LOGGED}}


def test_a_version_rolled_back_to_is_reported_by_its_own_evaluation(moved_home: Home) -> None:
    history, refs = PromotionHistory(moved_home, "pumps", "pump_repair"), Refs(moved_home)
    first, second = history.moves()
    content = refs.read(STATION).manifest.content
    assert (content["version"], content["checkpoint"]) == ("2", second.checkpoint)
    assert content["evaluation"] == refs.read("pumps/pump_repair/evaluation").manifest.digest

    alias = ChampionAlias(history=history, door=MlflowDoor(moved_home, "pumps"), name="pumps.pump_repair")
    rollback(alias, Asked(by="ada", because="complaints"))
    run(moved_home, BETTER, 'group:"serving" or group:"monitoring"')
    content = refs.read(STATION).manifest.content
    assert (content["version"], content["checkpoint"], content["answers"]) == ("1", first.checkpoint, 4)
    judged = evaluation_of(refs.store, history.moves(), str(first.checkpoint))
    assert judged is not None and judged.manifest.digest == content["evaluation"]
    assert judged.manifest.recipe.inputs["checkpoint"] == first.checkpoint
    assert content["expected"] == judged.manifest.content["metrics"]["challenger"]["roc_auc"]
    assert evaluation_of(refs.store, history.moves(), "sha256:0") is None
    # The champion's station was left out above; nothing of the report's own is stale.
    found = {each.station: each for each in standings(BETTER, moved_home)}
    assert found["pumps/pump_repair/champion"].why and found[STATION].in_turn


def test_without_a_log_it_says_so_and_without_a_champion_it_is_skipped(spring: Home) -> None:
    shutil.rmtree(spring.prediction_log("pumps", "pump_repair"))
    (message,) = failures(materialize(spring, PROJECT, f'key:"{STATION}"')).values()
    assert "the prediction log of pump_repair" in message
    shutil.rmtree(spring.history)
    skipped = materialize(spring, PROJECT, f'key:"{STATION}"')
    assert skipped.success and not skipped.get_asset_materialization_events()
