"""The monitoring report: what is found of the live model, as canonical JSON with a picture beside it."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mlops_platform.manifest import canonical_json
from mlops_platform.monitoring.figures import PICTURE, REPORT
from mlops_platform.monitoring.labelled import Ids, labelled_answers
from mlops_platform.monitoring.live import Live
from mlops_platform.monitoring.picture import draw
from mlops_platform.monitoring.quality import by_week, calendar_days, judge, recent
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.source_code import resolve
from mlops_platform.scoring.forecasts import by_step
from mlops_platform.scoring.metrics import Labels, Scores, calibration_table, measure
from mlops_platform.spec import Model, Task

_TOLD = {1: ("log_loss", "calibration_error"), 2: ("mae", "rmse", "bias")}
"""Metrics of the content, by the dimensions of the labels."""


def write_report(folder: Path, *, model: Model, live: Live, log: pl.LazyFrame, raw: pl.LazyFrame,
                 logged_ids: Ids | None = None) -> dict[str, Any]:  # fmt: skip
    """Reports on the live model's answers, and writes ``report.json`` and, where any label is known, ``quality.png``.

    Args:
        folder: Where to.
        model: The declaration.
        live: What is live.
        log: The prediction log.
        raw: Rows of the examples' raw table.
        logged_ids: As of ``labelled_answers``.

    Returns:
        The report's content: ``bad``, ``reason`` and the figures behind them, all but ``labelled``, ``answers`` and
        ``repeated`` of the rows that were judged, the newest ``Monitoring.window``.
    """
    examples = resolve(model.examples.labelled)(raw)
    found = labelled_answers(log, live.checkpoint, examples, identity=model.examples.id,
                             logged_ids=logged_ids)  # fmt: skip
    metric, calendar, asked = model.gate.metric, model.examples.calendar, model.monitoring
    rows = recent(found.rows, asked.window)
    labels, scores = rows["label"].to_numpy(), rows["score"].to_numpy()
    evaluated = _evaluated(live.evaluation, model.task)
    quality = judge(rows, calendar=calendar, labelled=found.rows.height, answers=found.answers,
                    expected=evaluated[metric], metric=metric, asked=asked)  # fmt: skip
    report: dict[str, Any] = {
        "quality": {**asdict(quality), "max_drop": asked.max_drop, "window": asked.window},
        "live": measure(labels, scores),
        "evaluation": evaluated,
        "weeks": by_week(found.rows, metric, calendar),
        **_detail(labels, scores),
        "extent": _extent(rows, calendar),
        "holdout": _holdout(live.evaluation),
        "model": model.name,
        "version": live.version,
    }
    (folder / REPORT).write_bytes(canonical_json(report))
    if rows.height:
        draw(report, folder / PICTURE)
    return {
        **asdict(quality),
        **report["extent"],
        **{name: report["live"][name] for name in _TOLD[labels.ndim]},
        "labelled": found.rows.height,
        "answers": found.answers,
        "repeated": found.repeated,
        "version": live.version,
        "checkpoint": live.checkpoint,
        "evaluation": live.evaluation.manifest.digest if live.evaluation else None,
    }


def _detail(labels: Labels, scores: Scores) -> dict[str, Any]:
    """The calibration of probabilities, or the errors of forecasts by step."""
    if labels.ndim == 2:
        return {"steps": [asdict(step) for step in by_step(labels, scores)]}
    return {"calibration": [asdict(row) for row in calibration_table(labels, scores)] if len(labels) else []}


def _evaluated(evaluation: Artifact | None, task: Task) -> Mapping[str, float | None]:
    if evaluation is None:
        return dict.fromkeys(task.metrics)
    metrics: Mapping[str, float | None] = evaluation.manifest.content["metrics"]["challenger"]
    return metrics


def _holdout(evaluation: Artifact | None) -> Mapping[str, Any] | None:
    if evaluation is None:
        return None
    holdout: Mapping[str, Any] = json.loads(evaluation.file("report.json").read_bytes())["holdout"]
    return holdout


def _extent(rows: pl.DataFrame, calendar: str) -> dict[str, Any]:
    extent: dict[str, Any] = {"rows": rows.height, "days": calendar_days(rows, calendar).n_unique()}
    labels = rows["label"].to_numpy()
    if rows.is_empty():
        nothing: dict[str, Any] = {"known": 0} if labels.ndim == 2 else {"positives": 0, "positive_rate": None}
        return extent | nothing | {"mean_score": None, "since": None, "until": None}
    times, known = rows["event_timestamp"], np.isfinite(labels)
    told = {"positives": int(np.count_nonzero(labels)), "positive_rate": float(labels.mean())}
    return (
        extent
        | ({"known": int(known.sum())} if labels.ndim == 2 else told)
        | {
            "mean_score": float(rows["score"].to_numpy().astype(np.float64).mean()),
            "since": times[0].isoformat(),
            "until": times[-1].isoformat(),
        }
    )
