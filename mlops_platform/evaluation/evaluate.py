"""Scores a holdout by challenger, champion and baseline, and leaves the report, the scores and the pictures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from mlops_platform.evaluation.baseline import Baseline, fit_baseline
from mlops_platform.evaluation.classes import require_two_classes
from mlops_platform.evaluation.errors import EvaluationError
from mlops_platform.evaluation.freshness import freshness, learned_until
from mlops_platform.evaluation.history import history
from mlops_platform.evaluation.plots import Pictures, draw
from mlops_platform.evaluation.report import Subject, build_report, compared_scores, probabilities
from mlops_platform.manifest import canonical_json
from mlops_platform.resources.artifacts import Artifact, ArtifactStore
from mlops_platform.scoring import PROGRAM, Scorer
from mlops_platform.spec import Model, Project

REPORT, SCORES = "report.json", "scores.parquet"


def evaluate(folder: Path, *, project: Project, model: Model, store: ArtifactStore, dataset: Artifact,
             challenger: Artifact, champion: Artifact | None) -> dict[str, Any]:  # fmt: skip
    """Makes an evaluation.

    A champion that learned from the holdout is not scored: its numbers would flatter it.

    Args:
        folder: Where ``report.json``, ``scores.parquet`` and the pictures are written.
        project, model: The declarations.
        store: Where the datasets that the models were trained on are found.
        dataset: Whose holdout is scored and whose train split the baseline learns.
        challenger: The checkpoint that is judged.
        champion: The checkpoint now live; None if none is.

    Returns:
        The evaluation's content: rows, and every metric by model.

    Raises:
        EvaluationError: The holdout or the train split has labels of one class only, or null ones.
    """
    holdout = pl.read_parquet(dataset.file("holdout.parquet"))
    _require_labels(holdout)
    fresh = freshness(dataset.manifest, challenger=_learned_until(store, challenger),
                      champion=_learned_until(store, champion) if champion else None)  # fmt: skip
    baseline = _baseline(project, model, dataset)
    lacking = _columns_lacking(champion, holdout) if champion else []
    scores = score(holdout, dataset, id_column=model.examples.id, baseline=baseline, challenger=challenger,
                   champion=champion if fresh.champion_fresh and not lacking else None)  # fmt: skip
    subject = Subject(
        project=project.name, model=model.name, dataset=dataset.manifest.digest,
        challenger=challenger.manifest.digest, champion=champion.manifest.digest if champion else None,
    )  # fmt: skip
    report = build_report(subject, holdout=holdout, scores=scores, slices=model.slices, fresh=fresh, baseline=baseline)
    told = {"champion_lacks": lacking, "program_bytes": challenger.file(PROGRAM).stat().st_size}
    return _write(folder, {**report, **told}, scores, _epochs(challenger))


def score(holdout: pl.DataFrame, dataset: Artifact, *, id_column: str, baseline: Baseline, challenger: Artifact,
          champion: Artifact | None) -> pl.DataFrame:  # fmt: skip
    """Scores every row by each model, one of sequences after it has gone through the rows before.

    Returns:
        ``id_column``, ``label`` (Int8), ``event_timestamp``, and Float32 probabilities ``challenger``, ``baseline``
        and ``champion`` (null without one), in the holdout's order.
    """
    challenged = _answers(challenger, holdout, dataset)
    champions: npt.NDArray[np.float32] | None = None
    if champion is not None:
        same = champion.manifest.digest == challenger.manifest.digest
        champions = challenged if same else _answers(champion, holdout, dataset)
    nothing = pl.lit(None, dtype=pl.Float32).alias("champion")
    return holdout.select(
        id_column,
        pl.col("label").cast(pl.Int8),
        "event_timestamp",
        pl.Series("challenger", challenged, dtype=pl.Float32),
        pl.Series("baseline", baseline.score(holdout), dtype=pl.Float32),
        nothing if champions is None else pl.Series("champion", champions, dtype=pl.Float32),
    )


def _answers(checkpoint: Artifact, holdout: pl.DataFrame, dataset: Artifact) -> npt.NDArray[np.float32]:
    scorer = Scorer.load(checkpoint)
    return scorer.score(holdout, history(dataset, scorer))


def _baseline(project: Project, model: Model, dataset: Artifact) -> Baseline:
    numeric = project.numeric_columns(model)
    columns = [*numeric, *model.categories, "label"]
    train = pl.read_parquet(dataset.file("train.parquet"), columns=columns)
    return fit_baseline(train, numeric=numeric, categories=model.categories)


def _columns_lacking(champion: Artifact, holdout: pl.DataFrame) -> list[str]:
    """Columns that the champion reads and this dataset no longer has: then it cannot be scored on it."""
    return sorted({*Scorer.load(champion).encoding.columns} - set(holdout.columns))


def _learned_until(store: ArtifactStore, checkpoint: Artifact) -> str:
    dataset = store.open("dataset", checkpoint.manifest.recipe.inputs["dataset"]).manifest
    return learned_until(dataset, checkpoint.manifest)


def _require_labels(holdout: pl.DataFrame) -> None:
    unlabelled = holdout["label"].null_count()
    if unlabelled:
        raise EvaluationError(
            required="a label for every row of the holdout", found=f"{unlabelled} of {holdout.height} rows without",
            remedy="leave rows without a label out of the dataset, and count them there",
        )  # fmt: skip
    require_two_classes(holdout["label"].to_numpy(), where="the holdout")


def _epochs(checkpoint: Artifact) -> list[Mapping[str, Any]]:
    epochs: list[Mapping[str, Any]] = json.loads(checkpoint.file("curves.json").read_bytes())
    return epochs


def _write(folder: Path, report: dict[str, Any], scores: pl.DataFrame,
           epochs: list[Mapping[str, Any]]) -> dict[str, Any]:  # fmt: skip
    (folder / REPORT).write_bytes(canonical_json(report))
    scores.write_parquet(folder / SCORES)
    labels = scores["label"].to_numpy()
    pictures = Pictures(report=report, labels=labels, scores=probabilities(compared_scores(scores)), epochs=epochs)
    draw(pictures, folder)
    return {
        "rows": scores.height,
        "metrics": report["metrics"],
        "champion_is_challenger": report["champion_is_challenger"],
        "holdout_is_fresh": report["freshness"]["fresh"],
    }
