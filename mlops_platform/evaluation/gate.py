"""The gate: judges an evaluation by the declared conditions. It decides nothing else and moves nothing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from mlops_platform.evaluation.bootstrap import Difference, drawn_together, paired_difference
from mlops_platform.evaluation.conditions import fast_enough, no_slice_worse, scores_are_sound, small_enough
from mlops_platform.evaluation.errors import EvaluationError
from mlops_platform.evaluation.verdict import Condition, Verdict, best_baseline
from mlops_platform.manifest import canonical_json
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.spec import LOWER_IS_BETTER, Binary, Forecast, Gate, Task

Report = Mapping[str, Any]
VERDICT = "verdict.json"
_BINARY = Binary()


def judge(report: Report, scores: pl.DataFrame, gate: Gate, *, task: Task = _BINARY,
          slices: pl.DataFrame | None = None, milliseconds: float | None = None) -> Verdict:  # fmt: skip
    """Judges a challenger.

    Args:
        report: An evaluation's ``report.json``.
        scores: Its ``scores.parquet``: ``label``, ``challenger``, each baseline, ``champion`` [N].
        gate: The declared conditions.
        task: What the model answers.
        slices: The columns that have a margin [N], in the order of the scores.
        milliseconds: Median latency of one row, as the evaluation measured it.
    """
    finite = _numbers_are_finite(report)
    values = {model: metrics and metrics[gate.metric] for model, metrics in report["metrics"].items()}
    rival = best_baseline(report["metrics"], task, gate.metric)
    values["baseline"], named = values[rival], task.baselines[rival]
    baseline = _difference(scores, rival, gate) if finite.passed else None
    champion = _difference(scores, "champion", gate) if finite.passed and values["champion"] is not None else None
    others = champion is not None and not report["champion_is_challenger"]
    calibration = report["metrics"]["challenger"].get("calibration_error")
    conditions = (
        finite,
        scores_are_sound(scores),
        _holdout_is_fresh(report),
        _better_than_baseline(values, baseline, gate, named),
        *([] if isinstance(task, Forecast) else [_calibrated(calibration, gate)]),
        _better_than_champion(report, values, champion, gate),
        no_slice_worse(scores, pl.DataFrame() if slices is None else slices, gate, compared=others),
        small_enough(report["program_bytes"], gate),
        fast_enough(milliseconds, gate),
    )
    return Verdict(
        metric=gate.metric, conditions=conditions, challenger=values["challenger"], baseline=values["baseline"],
        champion=values["champion"], champion_is_challenger=report["champion_is_challenger"],
        against_baseline=asdict(baseline) if baseline else None,
        against_champion=asdict(champion) if champion else None,
    )  # fmt: skip


def _difference(scores: pl.DataFrame, other: str, gate: Gate) -> Difference:
    return paired_difference(
        scores["label"].to_numpy(), scores["challenger"].to_numpy(), scores[other].to_numpy(),
        metric=gate.metric, resamples=gate.resamples, confidence=gate.confidence, groups=drawn_together(scores),
    )  # fmt: skip


def _numbers_are_finite(report: Report) -> Condition:
    metrics = {model: values for model, values in report["metrics"].items() if values}
    missing = [f"{model} {name}" for model, values in metrics.items() for name, v in values.items() if v is None]
    count = sum(len(values) for values in metrics.values())
    reason = f"{_listed(missing)} could not be computed." if missing else f"All {count} metrics are finite numbers."
    figures: dict[str, float | None] = {"metrics": count, "not_finite": len(missing)}
    return Condition(name="numbers_are_finite", passed=not missing, reason=reason, figures=figures)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _holdout_is_fresh(report: Report) -> Condition:
    fresh = report["freshness"]
    return Condition(name="holdout_is_fresh", passed=fresh["fresh"], reason=fresh["reason"], figures={})


def _better_than_baseline(values: Mapping[str, Any], found: Difference | None, gate: Gate, named: str) -> Condition:
    if found is None:
        reason = f"The challenger was not compared with the {named}: see numbers_are_finite."
        return Condition(name="better_than_baseline", passed=False, reason=reason, figures={})
    passed = found.gain > gate.baseline_margin
    reason = (
        f"{gate.metric} {values['challenger']:.4f} against {values['baseline']:.4f} of the {named}: "
        f"better by {found.gain:+.4f}, {'more' if passed else 'not more'} than the margin {gate.baseline_margin:.4f}."
    )
    figures = {"challenger": values["challenger"], "baseline": values["baseline"], **_figures(found),
               "margin": gate.baseline_margin}  # fmt: skip
    return Condition(name="better_than_baseline", passed=passed, reason=reason, figures=figures)


def _calibrated(error: float | None, gate: Gate) -> Condition:
    limit = gate.max_calibration_error
    figures = {"calibration_error": error, "limit": limit}
    if error is None:
        reason = "The calibration error could not be computed: see numbers_are_finite."
        return Condition(name="calibrated", passed=False, reason=reason, figures=figures)
    passed = error <= limit
    reason = f"Expected calibration error {error:.4f}, {'within' if passed else 'above'} the limit {limit:.4f}."
    return Condition(name="calibrated", passed=passed, reason=reason, figures=figures)


def _better_than_champion(report: Report, values: Mapping[str, Any], found: Difference | None, gate: Gate) -> Condition:
    name = "better_than_champion"
    if report["champion"] is None:
        return Condition(name=name, passed=True, reason="No champion is live to compare with.", figures={})
    if report["champion_lacks"]:
        lacking = ", ".join(report["champion_lacks"])
        reason = (
            f"The champion reads columns that this dataset no longer has ({lacking}), so it cannot be scored on it."
        )
        return Condition(name=name, passed=True, reason=reason, figures={})
    if report["champion_is_challenger"]:
        reason = "The challenger is the champion now live, so their difference is zero: nothing to promote."
        return Condition(name=name, passed=False, reason=reason, figures={"difference": 0.0})
    if found is None:
        reason = "The challenger was not compared with the champion: see holdout_is_fresh and numbers_are_finite."
        return Condition(name=name, passed=False, reason=reason, figures={})
    passed = found.gain_lower > gate.champion_margin
    way = ", lower is better" if gate.metric in LOWER_IS_BETTER else ""
    reason = (
        f"{gate.metric} {values['challenger']:.4f} against {values['champion']:.4f} of the champion{way}: better by "
        f"{found.gain:+.4f}, with {gate.confidence:.0%} confidence by at least {found.gain_lower:+.4f}, "
        f"{'more' if passed else 'not more'} than the margin {gate.champion_margin:+.4f}."
    )
    figures = {"challenger": values["challenger"], "champion": values["champion"], **_figures(found),
               "margin": gate.champion_margin}  # fmt: skip
    return Condition(name=name, passed=passed, reason=reason, figures=figures)


def _figures(found: Difference) -> dict[str, float | None]:
    """A difference as gains: above zero is better, whichever way the metric points."""
    return {"gain": found.gain, "gain_lower": found.gain_lower, "standard_error": found.standard_error}


def write_verdict(folder: Path, evaluation: Artifact, dataset: Artifact, gate: Gate, task: Task) -> dict[str, Any]:
    """Judges an evaluation and writes ``verdict.json``.

    Args:
        folder: Where to.
        evaluation: What is judged.
        dataset: The one that it scored, for the columns of the slices.
        gate: The declared conditions.
        task: What the model answers.

    Returns:
        The verdict's content: the whole of it, and the digests of what was judged.
    """
    report = json.loads(evaluation.file("report.json").read_bytes())
    scores = pl.read_parquet(evaluation.file("scores.parquet"))
    if dataset.manifest.digest != report["dataset"]:
        raise EvaluationError(
            required=f"the dataset that was scored, {report['dataset']}", found=dataset.manifest.digest,
            remedy="materialize the evaluation and the gate again",
        )  # fmt: skip
    columns = list(gate.slice_margins)
    slices = pl.read_parquet(dataset.file("holdout.parquet"), columns=columns) if columns else None
    verdict = judge(report, scores, gate, task=task, slices=slices,
                    milliseconds=evaluation.manifest.produced.measured.get("milliseconds_per_row"))  # fmt: skip
    judged = {name: report[name] for name in ("project", "model", "dataset")}
    subject = {"evaluation": evaluation.manifest.digest, "challenger_checkpoint": report["challenger"],
               "champion_checkpoint": report["champion"]}  # fmt: skip
    content = {**judged, **subject, **verdict.to_json()}
    (folder / VERDICT).write_bytes(canonical_json(content))
    return content
