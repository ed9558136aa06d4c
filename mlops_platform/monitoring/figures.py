"""What a monitoring report shows to people; light to load, since a report that is taken is shown as well."""

import json
from collections.abc import Mapping
from typing import Any

from mlops_platform.resources.artifacts import Artifact
from mlops_platform.spec import metrics_in

REPORT, PICTURE = "report.json", "quality.png"


def read_report(artifact: Artifact) -> dict[str, Any]:
    """The report of a monitoring report's artifact."""
    report: dict[str, Any] = json.loads(artifact.file(REPORT).read_bytes())
    return report


def metric_table(report: Mapping[str, Any]) -> str:
    """Markdown: a row for each metric, the live model's value beside that of its evaluation."""
    holdout = report["holdout"]
    rows = [(name, report["live"][name], report["evaluation"][name]) for name in metrics_in(report["live"])]
    extent = [name for name in ("rows", "positive_rate", "known") if name in report["extent"]]
    rows += [(name, report["extent"][name], holdout and holdout.get(name)) for name in extent]
    lines = ["| metric | labelled predictions | evaluation |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {_number(live)} | {_number(other)} |" for name, live, other in rows)])


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
