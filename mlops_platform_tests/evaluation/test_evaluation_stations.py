"""The two stations and their checks, in Dagster, over a real home and real ONNX programs."""

import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
import pytest

from mlops_platform.evaluation.evaluate import evaluate
from mlops_platform.resources.refs import Refs

if TYPE_CHECKING:
    from conftest import Lab

GOOD, FAIR = (1.2, 1.5), (1.2, 0.3)
PICTURES = {"roc.png", "calibration.png", "learning_curve.png", "slices.png"}


def _checks(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    found = result.get_asset_check_evaluations()
    return {(evaluation.asset_key.path[-1], evaluation.check_name): evaluation for evaluation in found}


def _memos(result: dg.ExecuteInProcessResult) -> list[object]:
    events = result.get_asset_materialization_events()
    return [event.materialization.metadata["memo"].value for event in events]


def test_first_challenger_passes_where_no_champion_is_live(lab: "Lab") -> None:
    dataset = lab.dataset()
    lab.point(dataset, lab.checkpoint(GOOD, dataset))
    result = lab.materialize()
    assert result.success
    verdict = lab.verdict()
    assert verdict["passed"] and "No champion is live" in verdict["reason"], verdict["reason"]
    assert verdict["champion"] is None and verdict["against_baseline"]["lower"] > 0
    checks = _checks(result)
    assert len(checks) == 13 and all(check.passed for check in checks.values())
    assert checks["evaluation", "metrics_are_finite"].blocking
    evaluation = Refs(lab.home).read("tiny/shape/evaluation")
    assert set(evaluation.manifest.files) == {"report.json", "scores.parquet", *PICTURES}
    assert evaluation.manifest.content["rows"] == 1500
    scores = pl.read_parquet(evaluation.file("scores.parquet"))
    assert scores.columns == ["id", "label", "event_timestamp", "challenger", "baseline", "champion"]
    assert scores["champion"].null_count() == 1500 and scores["champion"].dtype == pl.Float32


def test_metadata_holds_numbers_over_time_pictures_and_tables(lab: "Lab") -> None:
    dataset = lab.dataset()
    lab.promote(lab.checkpoint(FAIR, dataset))
    lab.point(dataset, lab.checkpoint(GOOD, dataset))
    result = lab.materialize()
    metadata = result.asset_materializations_for_node("tiny__shape__evaluation")[0].metadata
    for name in ("roc_auc", "roc_auc_baseline", "roc_auc_champion", "calibration_error"):
        assert isinstance(metadata[name], dg.FloatMetadataValue), name
    assert "data:image/png;base64," in str(metadata["roc"].value)
    table = str(metadata["by_slice"].value)
    assert "| place | x |" in table and "| place | (other) |" in table and "AUC champion" in table


def test_better_challenger_beats_the_champion_and_keeps_its_verdict_once_live(lab: "Lab") -> None:
    dataset = lab.dataset()
    fair, good = lab.checkpoint(FAIR, dataset), lab.checkpoint(GOOD, dataset)
    lab.promote(fair)
    lab.point(dataset, good)
    lab.materialize()
    verdict = lab.verdict()
    assert verdict["passed"] and verdict["against_champion"]["lower"] > 0, verdict["reason"]
    lab.promote(good)
    assert _memos(lab.materialize()) == ["hit", "hit"]
    assert lab.verdict() == verdict


def test_worse_challenger_is_told_in_numbers(lab: "Lab") -> None:
    dataset = lab.dataset()
    lab.promote(lab.checkpoint(GOOD, dataset))
    lab.point(dataset, lab.checkpoint(FAIR, dataset))
    result = lab.materialize(max_calibration_error=0.001)
    verdict = lab.verdict()
    assert [c["name"] for c in verdict["conditions"] if not c["passed"]] == ["calibrated", "better_than_champion"]
    check = _checks(result)["gate", "better_than_champion"]
    assert check.metadata["gain"].value < 0 and check.severity is dg.AssetCheckSeverity.WARN
    assert f"{verdict['champion']:.4f}" in verdict["reason"]


def test_champion_that_saw_the_holdout_is_refused(lab: "Lab") -> None:
    dataset = lab.dataset()
    later = lab.dataset(trained_until=lab.tables["holdout"]["event_timestamp"][9])
    lab.promote(lab.checkpoint(FAIR, later))
    lab.point(dataset, lab.checkpoint(GOOD, dataset))
    result = lab.materialize()
    verdict = lab.verdict()
    assert {c["name"] for c in verdict["conditions"] if not c["passed"]} == {"holdout_is_fresh", "better_than_champion"}
    assert "the champion learned from labels known until 2024-03-01T01:30:00+00:00" in verdict["reason"]
    assert lab.report()["metrics"]["champion"] is None and verdict["champion"] is None
    assert _checks(result)["gate", "better_than_champion"].severity is dg.AssetCheckSeverity.ERROR


def test_champion_that_reads_a_column_no_longer_there_is_not_compared(lab: "Lab") -> None:
    wider = lab.dataset()
    lab.promote(lab.checkpoint(FAIR, wider, category="street"))
    lab.point(wider, lab.checkpoint(GOOD, wider))
    assert lab.materialize().success
    verdict = lab.verdict()
    assert verdict["passed"] and verdict["champion"] is None
    assert "reads columns that this dataset no longer has (street)" in verdict["reason"]


def test_challenger_that_saw_the_holdout_is_refused(lab: "Lab") -> None:
    later = lab.dataset(trained_until=lab.tables["holdout"]["event_timestamp"][0] + timedelta(seconds=1))
    lab.point(lab.dataset(), lab.checkpoint(GOOD, later))
    lab.materialize()
    assert "the challenger learned" in lab.verdict()["reason"]


@pytest.mark.parametrize(("broken", "red"), [("logit", "log_loss"), ("nan", "roc_auc")])
def test_scores_that_are_no_probabilities_stop_before_the_gate(lab: "Lab", broken: str, red: str) -> None:
    dataset = lab.dataset()
    lab.point(dataset, lab.checkpoint(GOOD, dataset, broken=broken))
    result = lab.materialize()
    assert not result.success
    checks = _checks(result)
    assert not checks["evaluation", "scores_in_unit_interval"].passed
    assert red in (checks["evaluation", "metrics_are_finite"].description or "")
    assert Refs(lab.home).find("tiny/shape/gate") is None


def test_slices_decide_where_they_have_a_margin(lab: "Lab") -> None:
    dataset = lab.dataset()
    lab.promote(lab.checkpoint(FAIR, dataset))
    lab.point(dataset, lab.checkpoint(GOOD, dataset))
    checks = _checks(lab.materialize(slice_margins={"place": 0.02}, slice_rows=200))
    found = checks["gate", "no_slice_worse"]
    assert found.passed and "place=rare (" in (found.description or "")
    assert found.metadata["judged"].value == 3 and found.metadata["not_judged"].value == 1
    assert "gain_lower place=x" in found.metadata


@pytest.mark.parametrize(("limit", "passed"), [(10_000.0, True), (1e-9, False)])
def test_latency_is_measured_beside_the_verdict_and_not_in_it(lab: "Lab", limit: float, passed: bool) -> None:
    dataset = lab.dataset()
    lab.point(dataset, lab.checkpoint(GOOD, dataset))
    found = _checks(lab.materialize(max_milliseconds=limit))["gate", "fast_enough"]
    assert found.passed is passed and lab.verdict()["passed"] is passed
    gate, evaluation = (Refs(lab.home).read(f"tiny/shape/{name}").manifest for name in ("gate", "evaluation"))
    milliseconds = evaluation.produced.measured["milliseconds_per_row"]
    assert milliseconds > 0 and gate.produced.measured == {"milliseconds_per_row": milliseconds}
    assert found.metadata["milliseconds_per_row"].value == pytest.approx(milliseconds)
    assert "milliseconds_per_row" not in str(gate.content) and found.metadata["limit"].value == limit


@pytest.mark.parametrize("labels", [0, 1, None])
def test_holdout_without_two_classes_says_what_to_do(lab: "Lab", labels: int | None) -> None:
    holdout = lab.tables["holdout"].with_columns(label=pl.lit(labels, dtype=pl.Int8))
    dataset = lab.dataset(holdout=holdout)
    lab.point(dataset, lab.checkpoint(GOOD, dataset))
    result = lab.materialize()
    (failure,) = [e for e in result.get_step_failure_events() if e.node_handle.name.endswith("evaluation")]
    cause = failure.step_failure_data.error.cause
    assert cause is not None and cause.cls_name == "EvaluationError" and "Remedy:" in cause.message


def test_report_bytes_are_equal_each_time(lab: "Lab", tmp_path_factory: pytest.TempPathFactory) -> None:
    dataset = lab.dataset()
    challenger, champion = lab.checkpoint(GOOD, dataset), lab.checkpoint(FAIR, dataset)
    made = []
    for _ in range(2):
        folder = tmp_path_factory.mktemp("made")
        evaluate(folder, project=lab.project, model=lab.model, store=lab.store, dataset=dataset,
                 challenger=challenger, champion=champion)  # fmt: skip
        made.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert made[0] == made[1] and len(made[0]) == 6


def test_second_run_takes_the_first_ones_artifacts(lab: "Lab") -> None:
    dataset = lab.dataset()
    lab.point(dataset, lab.checkpoint(GOOD, dataset))
    lab.materialize()
    assert _memos(lab.materialize()) == ["hit", "hit"]
    assert _memos(lab.materialize(baseline_margin=0.9)) == ["hit", "made"]
    assert not lab.verdict()["passed"]


def test_shells_load_no_engine() -> None:
    heavy = ("sklearn", "matplotlib", "onnxruntime", "torch", "mlflow", "pandas", "polars")
    program = (
        "import mlops_platform.evaluation.assets, mlops_platform.evaluation.checks, sys; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
