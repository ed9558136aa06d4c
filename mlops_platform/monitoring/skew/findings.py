"""What a replay comes to: by feature how often and how far the two sides differ, with an example, and by prediction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from mlops_platform.monitoring.skew.compare import Column, compare, compare_frames, plain
from mlops_platform.monitoring.skew.replay import Replayed
from mlops_platform.monitoring.skew.sample import TIME
from mlops_platform.online_store import Status
from mlops_platform.resources.prediction_log.personal import personal_columns
from mlops_platform.scoring import Encoding
from mlops_platform.spec import FeatureTable, Model, Project

WITHHELD = "withheld: personal"


def feature_findings(project: Project, model: Model, examples: pl.DataFrame, told: Replayed) -> list[dict[str, Any]]:
    """Each feature as the online path gave it, beside the dataset.

    Args:
        project, model: The declarations.
        examples: N rows of the dataset.
        told: What the online path told of them.
    """
    found = compare_frames(told.features.values, examples, project.feature_names(model), model.skew.tolerances)
    tables = {f"{table}__{column.name}": table
              for table, columns in project.feature_columns(model).items() for column in columns}  # fmt: skip
    hidden = personal_columns(project, model).every
    return [_finding(project.feature_table(tables[column.name]), examples, told, column, hidden) for column in found]


def input_findings(encoding: Encoding, told: tuple[np.ndarray, np.ndarray], known: tuple[np.ndarray, np.ndarray],
                   tolerances: Mapping[str, float]) -> list[dict[str, Any]]:  # fmt: skip
    """Each column of what the program is given, by both paths.

    Args:
        encoding: Of the model.
        told: Numeric float32 [N, F] and categories int64 [N, C] of the online path.
        known: The same of the dataset's rows.
        tolerances: Of features, by name.
    """
    names = (*encoding.numeric, *(vocabulary.name for vocabulary in encoding.vocabularies))
    pairs = [(one[:, place], other[:, place]) for one, other in zip(told, known, strict=True)
             for place in range(other.shape[1])]  # fmt: skip
    columns = [compare(pl.Series(name, one), pl.Series(name, other), tolerance=tolerances.get(name))
               for name, (one, other) in zip(names, pairs, strict=True)]  # fmt: skip
    return [{"name": column.name, "rows": column.rows, "mismatched": column.mismatched, "largest": column.largest}
            for column in columns]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Predictions by both paths.

    Attributes:
        compared: How many.
        ruled: How many more rows a declared policy answers otherwise than training did; they are not compared.
        mismatched: How many of the compared differ by more than the model allows.
        largest, mean: Absolute difference, in the unit of the score; None where nothing was compared.
        example: The row of the largest difference, by id, time and both scores.
    """

    compared: int
    ruled: int
    mismatched: int
    largest: float | None
    mean: float | None
    example: dict[str, Any] | None


def score_findings(model: Model, examples: pl.DataFrame, told: Replayed, known: np.ndarray) -> Scores:
    """Compares scores, by row; of a forecast, by its worst step.

    Args:
        model: The declaration.
        examples: N rows of the dataset.
        told: Of the online path, with scores.
        known: Scores of the dataset's rows, float32 [N] or [N, H].
    """
    assert told.scores is not None
    kept = ~told.ruled.to_numpy()
    one, other = (np.asarray(scores, np.float64).reshape(len(kept), -1)[kept] for scores in (told.scores, known))
    ruled = int((~kept).sum())
    if not len(one):
        return Scores(compared=0, ruled=ruled, mismatched=0, largest=None, mean=None, example=None)
    gaps = np.abs(one - other)
    # A score that is no number on one side alone differs by all there is.
    gaps = np.where(np.isnan(one) & np.isnan(other), 0.0, np.nan_to_num(gaps, nan=np.inf))
    beyond = (gaps > model.skew.max_difference * np.maximum(1.0, np.abs(other))).any(axis=1)
    worst = int(gaps.max(axis=1).argmax())
    example = None
    if gaps[worst].max() > 0:
        row = examples.filter(pl.Series(kept)).row(worst, named=True)
        both = {"online": plain(one[worst].tolist()), "offline": plain(other[worst].tolist())}
        example = {"id": plain(row[model.examples.id]), TIME: plain(row[TIME].isoformat()), **both}
    return Scores(compared=len(one), ruled=ruled, mismatched=int(beyond.sum()), largest=float(gaps.max()),
                  mean=float(gaps.mean()), example=example)  # fmt: skip


def status_counts(told: Replayed) -> dict[str, dict[str, int]]:
    """How many of the rows asked for were present, missing, stale or later, by feature table."""
    return {table: {status.name.lower(): int((found == int(status)).sum()) for status in Status}
            for table in told.features.statuses.columns
            for found in [told.features.statuses[table]]}  # fmt: skip


def _finding(table: FeatureTable, examples: pl.DataFrame, told: Replayed, column: Column,
             hidden: frozenset[str]) -> dict[str, Any]:  # fmt: skip
    worst = column.worst
    example = None if worst is None else _example(table, examples, told, column.name, worst, hidden)
    return {**column.told(table.name), "example": example}


def _example(table: FeatureTable, examples: pl.DataFrame, told: Replayed, name: str, place: int,
             hidden: frozenset[str]) -> dict[str, Any]:  # fmt: skip
    row, features = examples.row(place, named=True), told.features
    event, known = features.events[table.name][place], features.knowns[table.name][place]
    value = (lambda found: WITHHELD) if name in hidden else plain
    return {
        "keys": {key: WITHHELD if key in hidden else plain(row[key]) for key in table.keys},
        TIME: row[TIME].isoformat(),
        "online": value(features.values[name][place]), "offline": value(row[name]),
        "status": Status(features.statuses[table.name][place]).name.lower(),
        "online_row": {"event": event and event.isoformat(), "known": known and known.isoformat()},
    }  # fmt: skip
