"""What an evaluation shows to people: its numbers by name, its pictures and its tables.

Both Dagster's UI and MLflow are fed from here.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_platform.resources.artifacts import Artifact
from mlops_platform.spec import Forecast

PICTURES = {
    "roc": "roc.png",
    "calibration_diagram": "calibration.png",
    "learning_curve": "learning_curve.png",
    "slices_diagram": "slices.png",
}
_OF_FORECASTS = {
    "error_by_step": "steps.png",
    "sample_week": "week.png",
    "error_by_hour": "hours.png",
    "learning_curve": "learning_curve.png",
}
_SHOWN = {"roc_auc": "AUC", "average_precision": "AP", "log_loss": "log loss", "brier": "Brier"}


def pictures_of(report: Mapping[str, Any]) -> dict[str, str]:
    """Files of an evaluation's pictures, by the names under which they are shown."""
    return _OF_FORECASTS if "task" in report else PICTURES


def read_report(evaluation: Artifact) -> dict[str, Any]:
    """The report of an evaluation."""
    report: dict[str, Any] = json.loads(evaluation.file("report.json").read_bytes())
    return report


def metric_figures(report: Mapping[str, Any]) -> dict[str, float]:
    """Every metric computed, by name: ``roc_auc`` is the challenger's, ``roc_auc_baseline`` the baseline's."""
    found: dict[str, float] = {}
    for model, metrics in report["metrics"].items():
        suffix = "" if model == "challenger" else f"_{model}"
        found |= {f"{name}{suffix}": value for name, value in (metrics or {}).items() if value is not None}
    name = "known_rate" if "task" in report else "positive_rate"
    return {**found, name: report["holdout"][name]}


def metric_table(metrics: Mapping[str, Mapping[str, float | None] | None]) -> str:
    """Markdown: a row for each metric, a column for each model."""
    known = {model: values for model, values in metrics.items() if values}
    rows = [[name, *(_number(values[name]) for values in known.values())] for name in known["challenger"]]
    return _table(["metric", *known], rows)


def slice_table(report: Mapping[str, Any]) -> str:
    """Markdown: a row for each slice, the challenger's metrics and the other models' AUC, or MAE of forecasts."""
    if "task" in report:
        others = [model for model, metrics in report["metrics"].items() if metrics and model != "challenger"]
        columns, compared = {name: name for name in Forecast.metrics}, ("mae", "mae of")
    else:
        others = [model for model in ("baseline", "champion") if report["metrics"][model]]
        columns, compared = _SHOWN, ("roc_auc", "AUC")
    metric, of = compared
    rows = []
    for column, parts in report["slices"].items():
        for part in parts:
            metrics = part["metrics"]
            value = part["value"] if part["merged"] == 1 else f"{part['value']}, {part['merged']} values"
            known = f"{part['known']:,}" if "task" in report else f"{part['positives'] / part['rows']:.1%}"
            rows.append([column, value, f"{part['rows']:,}", known,
                         *(_number(metrics["challenger"][name]) for name in columns),
                         *(_number(metrics[model][metric]) for model in others)])  # fmt: skip
    counted = "known labels" if "task" in report else "positive"
    return _table(["slice", "value", "rows", counted, *columns.values(), *(f"{of} {m}" for m in others)], rows)


def step_table(report: Mapping[str, Any]) -> str:
    """Markdown: the mean absolute error of each step ahead, a column for each model."""
    steps = report["steps"]
    rows = [[str(step["step"]), f"{step['known']:,}", *(_number(steps[model][place]["mae"]) for model in steps)]
            for place, step in enumerate(steps["challenger"])]  # fmt: skip
    return _table(["step ahead", "known labels", *steps], rows)


def condition_table(conditions: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a row for each condition of a verdict."""
    rows = [[c["name"], "passed" if c["passed"] else "**failed**", c["reason"]] for c in conditions]
    return _table(["condition", "verdict", "finding"], rows)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
