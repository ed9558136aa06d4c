"""A forecast through every room: the wells, landed through May and then through June, materialized both times."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console, RenderableType

from mlops_platform.cli.demo import metrics_table
from mlops_platform.cli.why_tree import newest, why_tree
from mlops_platform.manifest import Manifest
from mlops_platform.provenance.example_rows import example_rows
from mlops_platform.provenance.walk import as_json, why
from mlops_platform.resources.artifacts import Artifact, ArtifactStore
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.scoring import Scorer
from mlops_platform.scoring.forecasts import measure
from mlops_platform_tests.lineage.run import failures, land, materialize, red_checks
from mlops_platform_tests.lineage.wells.functions import ahead
from mlops_platform_tests.lineage.wells.project import LEVELS, MODEL, PROJECT

ARRAY = pl.Array(pl.Float32, 3)


@pytest.fixture(scope="module")
def wells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with two landings; each of its runs was whole and every check green."""
    with pytest.MonkeyPatch.context() as patch:
        home = Home(tmp_path_factory.mktemp("wells") / "home")
        for name in ("MLOPS_HOME", "DAGSTER_HOME"):
            patch.setenv(name, str(home.path))
        for name, value in (("MLOPS_ENV", "dev"), ("MLOPS_ACTOR", "tests"), ("MLOPS_LANDING", "")):
            patch.setenv(name, value)
        for month in ("2024-05", "2024-06"):
            land(home, PROJECT, month)
            result = materialize(home, PROJECT)
            assert result.success, failures(result)
            assert red_checks(result) == {}
        yield home


@pytest.fixture
def here(wells: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The home of the wells, read only, as the one of this process."""
    monkeypatch.setenv("MLOPS_HOME", str(wells.path))
    monkeypatch.setenv("DAGSTER_HOME", str(wells.path))
    return wells


def of(home: Home, station: str) -> Artifact:
    return Refs(home).read(f"wells/water_level/{station}")


def printed(what: RenderableType) -> str:
    console = Console(width=200)
    with console.capture() as shown:
        console.print(what)
    return shown.get()


def content(home: Home, station: str) -> dict[str, Any]:
    return dict(of(home, station).manifest.content)


def read(home: Home, station: str, file: str) -> Any:
    return json.loads(of(home, station).file(file).read_bytes())


def test_the_dataset_has_an_array_a_row_and_counts_what_is_not_over(here: Home) -> None:
    found = content(here, "dataset")
    holdout = pl.read_parquet(of(here, "dataset").file("holdout.parquet"))
    assert holdout.schema["label"] == ARRAY
    assert holdout["label"].null_count() == 0
    assert 0 < holdout["label"].explode().null_count() < holdout.height
    assert found["unlabelled"] == {"not over": 8}
    assert found["parts"]["holdout"]["known_share"] == pytest.approx(10 / 11, abs=0.05)
    assert "positive_share" not in found["parts"]["holdout"]
    assert {"weekday", "well"} <= set(holdout.columns)


def test_the_second_dataset_reused_what_still_held_of_the_first(here: Home) -> None:
    assert of(here, "dataset").manifest.produced.measured["reused"] > 200


def test_the_champion_beats_persistence_and_the_seasonal_mean_side_by_side(here: Home) -> None:
    metrics, steps = content(here, "evaluation")["metrics"], read(here, "evaluation", "report.json")["steps"]
    assert set(metrics) == {"challenger", "persistence", "season", "champion"}
    assert metrics["challenger"]["mae"] < 0.2 * min(metrics[name]["mae"] for name in ("persistence", "season"))
    # A wave goes further away from where it is now with every step; its mean is as wrong at each.
    persistence = [step["mae"] for step in steps["persistence"]]
    assert persistence == sorted(persistence)
    assert len(steps["challenger"]) == 3
    table = metrics_table({"network": metrics["challenger"], "persistence": metrics["persistence"]})
    assert "mae (lower is better)" in printed(table)


def test_the_report_is_that_of_its_own_scores(here: Home) -> None:
    scores = pl.read_parquet(of(here, "evaluation").file("scores.parquet"))
    assert {scores.schema[name] for name in ("label", "challenger", "persistence", "season", "champion")} == {ARRAY}
    metrics = content(here, "evaluation")["metrics"]
    assert measure(scores["label"].to_numpy(), scores["season"].to_numpy()) == metrics["season"]
    report = read(here, "evaluation", "report.json")
    assert sum(part["known"] for part in report["slices"]["well"]) == report["holdout"]["known"]
    assert "calibration" not in report and "positive_rate" not in report["holdout"]


def test_every_picture_is_there_and_shown(here: Home) -> None:
    files = of(here, "evaluation").manifest.files
    assert {"steps.png", "week.png", "hours.png", "learning_curve.png"} <= set(files)
    assert "roc.png" not in files


def test_the_gate_asks_a_forecasts_conditions_against_the_better_baseline(here: Home) -> None:
    verdict = read(here, "gate", "verdict.json")
    conditions = {condition["name"]: condition for condition in verdict["conditions"]}
    assert verdict["passed"] and verdict["metric"] == "mae"
    assert "calibrated" not in conditions
    metrics = content(here, "evaluation")["metrics"]
    better = min(("persistence", "season"), key=lambda name: metrics[name]["mae"])
    assert verdict["baseline"] == metrics[better]["mae"]
    words = {"persistence": "persistence", "season": "seasonal mean"}[better]
    assert f"of the {words}: better by" in conditions["better_than_baseline"]["reason"]
    assert conditions["no_slice_worse"]["figures"]["judged"] == 4
    assert verdict["against_champion"]["upper"] < 0


def test_two_versions_are_registered_with_a_score_for_each_step(here: Home) -> None:
    assert content(here, "registered_model")["version"] == "2"
    assert content(here, "registered_model")["signature"] is True
    assert [move.action for move in PromotionHistory(here, "wells", "water_level").moves()] == ["promote", "promote"]
    (package,) = (of(here, "registered_model").folder / "model").glob("MLmodel")
    assert '"shape": [-1, 3]' in package.read_text()


def test_predictions_are_arrays_and_lists_in_the_log(here: Home) -> None:
    answers = pl.read_parquet(of(here, "predictions").file("predictions.parquet"))
    log = DeltaDoor(here.prediction_log("wells", "water_level")).scan().collect()
    assert answers.schema["score"] == ARRAY
    assert log.schema["score"] == pl.List(pl.Float32)
    assert log.height == 2 * answers.height == 8
    logged = log.filter(pl.col("batch") == content(here, "predictions")["batch"]).sort("prediction_id")
    assert logged["score"].to_list() == answers.sort("prediction_id")["score"].to_list()
    again = Scorer.load(of(here, "checkpoint")).score(answers)
    assert np.array_equal(again, answers["score"].to_numpy())


def test_labels_that_arrived_are_compared_with_what_was_forecast(here: Home) -> None:
    """The second landing brings the days that the first version had answered for: no longer the live one's answers."""
    from mlops_platform.monitoring.labelled import labelled_answers
    from mlops_platform.monitoring.live import Live
    from mlops_platform.monitoring.report import write_report

    first = PromotionHistory(here, "wells", "water_level").moves()[0]
    raw = Refs(here).read("wells/raw/levels").manifest.delta
    rows = DeltaDoor(here.root / raw.path).scan(raw.version)
    log = DeltaDoor(here.prediction_log("wells", "water_level")).scan()
    found = labelled_answers(log, str(first.checkpoint), ahead(rows), identity="day_id")
    assert (found.rows.height, found.answers) == (4, 4)
    assert found.rows.schema["score"] == found.rows.schema["label"] == ARRAY
    folder = here.path / "monitored"
    folder.mkdir()
    live = Live(version="1", checkpoint=str(first.checkpoint), evaluation=None)
    told = write_report(folder, model=MODEL, live=live, log=log, raw=rows)
    labels, scores = found.rows["label"].to_numpy(), found.rows["score"].to_numpy()
    assert told["mae"] == measure(labels, scores)["mae"] < 2
    assert told["known"] == np.isfinite(labels).sum()
    assert "Not judged: 4 of 4 predictions have a known label, of 1 day only" in told["reason"]
    assert (folder / "quality.png").stat().st_size > 3_000
    assert content(here, "monitoring")["labelled"] == 0


def test_why_names_every_raw_row_of_the_days_and_the_number_of_each_step(here: Home) -> None:
    found = why(here, PROJECT, newest(PROJECT, here))
    assert found.example.count == 1
    assert len(found.prediction["score"]) == 3
    assert json.loads(json.dumps(as_json(found)))["prediction"]["score"] == found.prediction["score"]
    text = printed(why_tree(found))
    assert ", ".join(f"{step:.1f}" for step in found.prediction["score"]) in text
    assert "recomputed: equal" in text and "mae" in text


def test_an_example_of_several_rows_is_walked_back_to_each_of_them(here: Home) -> None:
    raw, at = Refs(here).read("wells/raw/levels").manifest, datetime(2024, 5, 10, tzinfo=UTC)
    found = example_rows(here, LEVELS, raw, ahead, "day_id", "W1-20240510", at, ahead=timedelta(days=3))
    (file,) = found.files
    rows = DeltaDoor(here.root / raw.delta.path).scan(raw.delta.version).filter(pl.col("_row").is_in(file["rows"]))
    days = rows.filter(pl.col("at").dt.month() == 5, well="W1").collect()
    assert found.count == 3
    assert sorted(days["at"].dt.day()) == [10, 11, 12]


def test_a_forecast_changes_the_recipes_and_a_binary_classifier_none(here: Home, pumps_home: Path) -> None:
    for station in ("dataset", "checkpoint", "evaluation", "gate", "skew", "predictions", "monitoring"):
        assert of(here, station).manifest.recipe.config["task"]["horizon"] == 3
        pumps: Manifest = Refs(Home(pumps_home)).read(f"pumps/pump_repair/{station}").manifest
        assert "task" not in pumps.recipe.config


def test_forecasts_by_the_online_path_are_those_of_the_holdout(here: Home) -> None:
    content = of(here, "skew").manifest.content
    assert (content["agrees"], content["mismatched"], content["coded_otherwise"]) == (True, {}, {})
    assert content["scores"]["compared"] == content["rows"] == of(here, "evaluation").manifest.content["rows"]


def test_the_dataset_is_made_again_to_the_same_bytes(here: Home, tmp_path: Path) -> None:
    from mlops_platform.datasets.reproduce import reproduce

    again = reproduce(here, PROJECT, MODEL, of(here, "dataset").manifest, tmp_path)
    assert again.differing == ()
    assert ArtifactStore(here).open("dataset", of(here, "dataset").manifest.digest)
