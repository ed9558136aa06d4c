"""What must hold of an evaluation, and the gate's conditions one by one."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import dagster as dg

from mlops_platform.evaluation.figures import read_report
from mlops_platform.evaluation.verdict import best_baseline, conditions_of
from mlops_platform.resources.station import Stations
from mlops_platform.spec import LOWER_IS_BETTER, Forecast, Gate, Model, Project

_WARN, _ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


def evaluation_checks(project: Project, model: Model) -> list[dg.AssetChecksDefinition]:
    """The checks of the evaluation and of the gate."""
    return [_of_evaluation(project, model), _of_gate(project, model)]


def _of_evaluation(project: Project, model: Model) -> dg.AssetChecksDefinition:
    """Sound numbers (blocking); calibration and baseline (they warn here, and the gate decides)."""
    key = dg.AssetKey([project.name, model.name, "evaluation"])
    forecast, rivals = isinstance(model.task, Forecast), " and the ".join(model.task.baselines.values())
    sound = "scores_are_finite" if forecast else "scores_in_unit_interval"
    told = f"every score of every model is a {'finite number' if forecast else 'number between 0 and 1'}"
    specs = [
        dg.AssetCheckSpec(sound, asset=key, blocking=True, description=told),
        dg.AssetCheckSpec("metrics_are_finite", asset=key, blocking=True,
                          description="every metric of every model on the whole holdout could be computed"),
        dg.AssetCheckSpec("better_than_baseline", asset=key,
                          description=f"{model.gate.metric} is better than that of the {rivals}"),
    ]  # fmt: skip
    if not forecast:
        told = f"expected calibration error of at most {model.gate.max_calibration_error:g}"
        specs.append(dg.AssetCheckSpec("calibration", asset=key, description=told))

    @dg.multi_asset_check(specs=specs, name=f"{project.name}__{model.name}__evaluation_checks")
    def checks(stations: Stations) -> Iterable[dg.AssetCheckResult]:
        report = read_report(stations.input(f"{project.name}/{model.name}/evaluation"))
        yield _scores(key, report, sound)
        yield _metrics(key, report)
        rival = best_baseline(report["metrics"], model.task, model.gate.metric)
        yield _baseline(key, report["metrics"], rival, model.gate)
        if not forecast:
            yield _calibration(key, report["metrics"]["challenger"]["calibration_error"], model.gate)

    return checks


def _of_gate(project: Project, model: Model) -> dg.AssetChecksDefinition:
    key = dg.AssetKey([project.name, model.name, "gate"])
    specs = [dg.AssetCheckSpec(name, asset=key, description=words) for name, words in conditions_of(model.task).items()]

    @dg.multi_asset_check(specs=specs, name=f"{project.name}__{model.name}__gate_checks")
    def checks(stations: Stations) -> Iterable[dg.AssetCheckResult]:
        gate = stations.input(f"{project.name}/{model.name}/gate").manifest
        yield from _conditions(key, gate.content, gate.produced.measured)

    return checks


def _conditions(
    key: dg.AssetKey, verdict: Mapping[str, Any], measured: Mapping[str, Any]
) -> Iterator[dg.AssetCheckResult]:
    for condition in verdict["conditions"]:
        compared = verdict["against_champion"] is not None or verdict["champion_is_challenger"]
        # A challenger that is not better, or not everywhere, is an ordinary finding; the others are faults of it.
        merely = condition["name"] in ("better_than_champion", "no_slice_worse") and compared
        figures = {name: value for name, value in condition["figures"].items() if value is not None}
        if condition["name"] == "fast_enough":
            figures |= measured
        yield dg.AssetCheckResult(
            check_name=condition["name"], asset_key=key, passed=condition["passed"],
            severity=_WARN if merely else _ERROR, description=condition["reason"], metadata=figures,
        )  # fmt: skip


def _scores(key: dg.AssetKey, report: Mapping[str, Any], name: str) -> dg.AssetCheckResult:
    figures: dict[str, float] = {}
    wrong = 0
    for model, spread in report["scores"].items():
        figures |= {f"{figure}_{model}": value for figure, value in spread.items() if value is not None}
        wrong += spread["not_finite"] + spread.get("outside_unit_interval", 0)
    if name == "scores_are_finite":
        words = f"{wrong} scores are not finite" if wrong else "all scores are finite"
    else:
        words = f"{wrong} scores are not numbers between 0 and 1" if wrong else "all scores lie between 0 and 1"
    return dg.AssetCheckResult(check_name=name, asset_key=key, passed=wrong == 0, description=words, metadata=figures)


def _metrics(key: dg.AssetKey, report: Mapping[str, Any]) -> dg.AssetCheckResult:
    known = {model: metrics for model, metrics in report["metrics"].items() if metrics}
    missing = [f"{model} {name}" for model, metrics in known.items() for name, v in metrics.items() if v is None]
    words = f"could not be computed: {', '.join(missing)}" if missing else "all metrics are finite numbers"
    return dg.AssetCheckResult(
        check_name="metrics_are_finite", asset_key=key, passed=not missing, description=words,
        metadata={"metrics": sum(map(len, known.values())), "not_finite": len(missing)},
    )  # fmt: skip


def _baseline(key: dg.AssetKey, metrics: Mapping[str, Any], rival: str, gate: Gate) -> dg.AssetCheckResult:
    ours, other = metrics["challenger"][gate.metric], metrics[rival][gate.metric]
    if ours is None or other is None:
        return dg.AssetCheckResult(check_name="better_than_baseline", asset_key=key, passed=False, severity=_WARN,
                                   description=f"{gate.metric} could not be computed")  # fmt: skip
    gain, margin = other - ours if gate.metric in LOWER_IS_BETTER else ours - other, gate.baseline_margin
    return dg.AssetCheckResult(
        check_name="better_than_baseline", asset_key=key, passed=gain > margin, severity=_WARN,
        description=f"{gate.metric} {ours:.4f} against {other:.4f}: better by {gain:+.4f}, margin {margin:.4f}",
        metadata={"challenger": ours, "baseline": other, "gain": gain, "margin": margin},
    )  # fmt: skip


def _calibration(key: dg.AssetKey, error: float | None, gate: Gate) -> dg.AssetCheckResult:
    figures = {"limit": gate.max_calibration_error} | ({} if error is None else {"calibration_error": error})
    return dg.AssetCheckResult(
        check_name="calibration", asset_key=key, severity=_WARN,
        passed=error is not None and error <= gate.max_calibration_error, metadata=figures,
    )  # fmt: skip
