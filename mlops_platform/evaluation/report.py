"""The evaluation report: what was measured of each model on one holdout, as canonical JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from mlops_platform.evaluation.baseline import Baseline
from mlops_platform.evaluation.forecasts import Persistence, SeasonalMean, forecast_extent, forecast_parts
from mlops_platform.evaluation.freshness import Freshness
from mlops_platform.evaluation.slices import SMALLEST_SLICE, slice_metrics
from mlops_platform.scoring.metrics import Labels, Scores, calibration_table, measure
from mlops_platform.spec import Binary, Forecast, Task

Simple = Baseline | Persistence | SeasonalMean
_BINARY = Binary()
SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is evaluated, by digest.

    Attributes:
        project, model: Names.
        dataset: Whose holdout is scored.
        challenger: The checkpoint that is judged.
        champion: The checkpoint now live; None if none is.
    """

    project: str
    model: str
    dataset: str
    challenger: str
    champion: str | None


def models_of(task: Task) -> tuple[str, ...]:
    """Names of the models that an evaluation compares, the challenger first."""
    return ("challenger", *task.baselines, "champion")


def build_report(subject: Subject, *, holdout: pl.DataFrame, scores: pl.DataFrame, slices: Sequence[str],
                 fresh: Freshness, task: Task, baselines: Mapping[str, Simple],
                 smallest: int = SMALLEST_SLICE) -> dict[str, Any]:  # fmt: skip
    """Measures each model on the holdout.

    Args:
        subject: What is evaluated.
        holdout: Its rows [N]; only the columns ``slices`` are read.
        scores: ``label``, ``event_timestamp`` and a column of scores or nulls for each of ``models_of`` the task [N].
        slices: Columns by whose values the metrics are divided.
        fresh: What each model could know of the holdout.
        task: What the model answers.
        baselines: The fitted simpler models.
        smallest: Slices of fewer rows are merged.

    Returns:
        JSON without a time or a machine in it: equal inputs give equal bytes.
    """
    labels = scores["label"].to_numpy()
    compared = compared_scores(scores, task)
    metrics = {name: measure(labels, values) for name, values in compared.items()}
    return {
        "schema_version": SCHEMA_VERSION,
        **asdict(subject),
        "champion_is_challenger": subject.champion == subject.challenger,
        "holdout": _extent(scores, labels),
        "freshness": {**asdict(fresh), "fresh": fresh.fresh, "reason": fresh.reason},
        "metrics": {name: metrics.get(name) for name in models_of(task)},
        "scores": {name: _spread(values) for name, values in compared.items()},
        "slices": {
            column: [part.to_json() for part in slice_metrics(holdout[column], labels, compared, smallest=smallest)]
            for column in slices
        },
        **(forecast_parts(task, labels, compared) if isinstance(task, Forecast)
           else _probability_parts(labels, compared, baselines["baseline"])),
    }  # fmt: skip


def _probability_parts(labels: Labels, compared: Mapping[str, Scores], baseline: Simple) -> dict[str, Any]:
    """The parts of a report that only a binary classifier has."""
    assert isinstance(baseline, Baseline)
    return {
        "calibration": {name: _calibration(labels, values) for name, values in compared.items()},
        "logistic_regression": {
            "numeric": len(baseline.numeric), "missing_flags": list(baseline.flagged),
            "levels": {name: len(levels) for name, levels in baseline.levels.items()},
            "dropped": dict(baseline.dropped), "iterations": baseline.iterations,
        },
    }  # fmt: skip


def compared_scores(scores: pl.DataFrame, task: Task = _BINARY) -> dict[str, Scores]:
    """Scores [N], or of forecasts [N, H], of each model that was scored; one of nulls only was not."""
    return {name: scores[name].to_numpy() for name in models_of(task) if scores[name].null_count() < scores.height}


def probabilities(scores: Mapping[str, Scores]) -> dict[str, Scores]:
    """Those models whose scores are all finite numbers within [0, 1]."""
    return {name: s for name, s in scores.items() if bool(np.isfinite(s).all() and (s >= 0).all() and (s <= 1).all())}


def _extent(scores: pl.DataFrame, labels: Labels) -> dict[str, Any]:
    times = scores["event_timestamp"].sort()
    positives = int(labels.sum()) if labels.ndim == 1 else 0
    told = {"positives": positives, "positive_rate": positives / scores.height}
    return {
        "rows": scores.height,
        **(told if labels.ndim == 1 else forecast_extent(labels)),
        "first_event": times[0].isoformat(),
        "last_event": times[-1].isoformat(),
    }


def _spread(values: Scores) -> dict[str, float | int | None]:
    finite = values[np.isfinite(values)].astype(np.float64)
    some = len(finite) > 0
    outside = int(np.count_nonzero((finite < 0) | (finite > 1)))
    return {
        "minimum": float(finite.min()) if some else None,
        "maximum": float(finite.max()) if some else None,
        "mean": float(finite.mean()) if some else None,
        "not_finite": values.size - len(finite),
        **({"outside_unit_interval": outside} if values.ndim == 1 else {}),
    }


def _calibration(labels: Labels, values: Scores) -> list[dict[str, Any]] | None:
    if not probabilities({"one": values}):
        return None
    return [asdict(row) for row in calibration_table(labels, values)]
