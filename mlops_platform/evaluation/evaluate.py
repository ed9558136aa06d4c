"""Scores a holdout by challenger, champion and baseline, and leaves the report, the scores and the pictures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from mlops_platform.evaluation.baseline import fit_baseline
from mlops_platform.evaluation.classes import require_two_classes
from mlops_platform.evaluation.errors import EvaluationError
from mlops_platform.evaluation.forecast_plots import PAINTERS, ForecastPictures
from mlops_platform.evaluation.forecasts import fit_forecasters, require_known
from mlops_platform.evaluation.freshness import freshness, learned_until
from mlops_platform.evaluation.history import history
from mlops_platform.evaluation.plots import Pictures, draw
from mlops_platform.evaluation.report import Simple, Subject, build_report, compared_scores, probabilities
from mlops_platform.manifest import canonical_json
from mlops_platform.resources.artifacts import Artifact, ArtifactStore
from mlops_platform.scoring import PROGRAM, Scorer
from mlops_platform.spec import Forecast, Model, Project

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
    _require_labels(holdout["label"])
    fresh = freshness(dataset.manifest, challenger=_learned_until(store, challenger),
                      champion=_learned_until(store, champion) if champion else None)  # fmt: skip
    baselines = _baselines(project, model, dataset)
    lacking = _columns_lacking(champion, holdout) if champion else []
    scores = score(holdout, dataset, id_column=model.examples.id, baselines=baselines, challenger=challenger,
                   champion=champion if fresh.champion_fresh and not lacking else None)  # fmt: skip
    subject = Subject(
        project=project.name, model=model.name, dataset=dataset.manifest.digest,
        challenger=challenger.manifest.digest, champion=champion.manifest.digest if champion else None,
    )  # fmt: skip
    report = build_report(subject, holdout=holdout, scores=scores, slices=model.slices, fresh=fresh, task=model.task,
                          baselines=baselines)  # fmt: skip
    report |= {"champion_lacks": lacking, "program_bytes": challenger.file(PROGRAM).stat().st_size}
    _draw(folder, report, project, model, holdout, scores, _epochs(challenger))
    return _write(folder, report, scores)


def score(holdout: pl.DataFrame, dataset: Artifact, *, id_column: str, baselines: Mapping[str, Simple],
          challenger: Artifact, champion: Artifact | None) -> pl.DataFrame:  # fmt: skip
    """Scores every row by each model, one of sequences after it has gone through the rows before.

    Returns:
        ``id_column``, ``label`` (Int8), ``event_timestamp``, and Float32 probabilities ``challenger``, of each baseline
        by its name, and ``champion`` (null without one), in the holdout's order; of forecasts all of them are arrays of
        Float32.
    """
    label = holdout["label"]
    numbers = label.dtype if isinstance(label.dtype, pl.Array) else pl.Float32
    challenged = _answers(challenger, holdout, dataset)
    champions: npt.NDArray[np.float32] | None = None
    if champion is not None:
        same = champion.manifest.digest == challenger.manifest.digest
        champions = challenged if same else _answers(champion, holdout, dataset)
    nothing = pl.lit(None, dtype=numbers).alias("champion")
    return holdout.select(
        id_column,
        label if isinstance(label.dtype, pl.Array) else pl.col("label").cast(pl.Int8),
        "event_timestamp",
        pl.Series("challenger", challenged, dtype=numbers),
        *(pl.Series(name, simple.score(holdout), dtype=numbers) for name, simple in baselines.items()),
        nothing if champions is None else pl.Series("champion", champions, dtype=numbers),
    )


def _answers(checkpoint: Artifact, holdout: pl.DataFrame, dataset: Artifact) -> npt.NDArray[np.float32]:
    scorer = Scorer.load(checkpoint)
    return scorer.score(holdout, history(dataset, scorer))


def _baselines(project: Project, model: Model, dataset: Artifact) -> dict[str, Simple]:
    """The simpler models, fitted, by the names that the task gives them."""
    train = dataset.file("train.parquet")
    if isinstance(model.task, Forecast):
        columns = [*dict.fromkeys([*model.task.columns, "label"])]
        return {**fit_forecasters(pl.read_parquet(train, columns=columns), model.task)}
    numeric = project.numeric_columns(model)
    rows = pl.read_parquet(train, columns=[*numeric, *model.categories, "label"])
    return {"baseline": fit_baseline(rows, numeric=numeric, categories=model.categories)}


def _columns_lacking(champion: Artifact, holdout: pl.DataFrame) -> list[str]:
    """Columns that the champion reads and this dataset no longer has: then it cannot be scored on it."""
    return sorted({*Scorer.load(champion).encoding.columns} - set(holdout.columns))


def _learned_until(store: ArtifactStore, checkpoint: Artifact) -> str:
    dataset = store.open("dataset", checkpoint.manifest.recipe.inputs["dataset"]).manifest
    return learned_until(dataset, checkpoint.manifest)


def _require_labels(labels: pl.Series) -> None:
    unlabelled = labels.null_count()
    if unlabelled:
        raise EvaluationError(
            required="a label for every row of the holdout", found=f"{unlabelled} of {len(labels)} rows without",
            remedy="leave rows without a label out of the dataset, and count them there",
        )  # fmt: skip
    if isinstance(labels.dtype, pl.Array):
        require_known(labels.to_numpy(), where="the holdout")
    else:
        require_two_classes(labels.to_numpy(), where="the holdout")


def _epochs(checkpoint: Artifact) -> list[Mapping[str, Any]]:
    epochs: list[Mapping[str, Any]] = json.loads(checkpoint.file("curves.json").read_bytes())
    return epochs


def _draw(folder: Path, report: Mapping[str, Any], project: Project, model: Model, holdout: pl.DataFrame,
          scores: pl.DataFrame, epochs: list[Mapping[str, Any]]) -> None:  # fmt: skip
    labels, compared = scores["label"].to_numpy(), compared_scores(scores, model.task)
    if not isinstance(model.task, Forecast):
        draw(Pictures(report=report, labels=labels, scores=probabilities(compared), epochs=epochs), folder)
        return
    whose = holdout.select(pl.concat_str(pl.col(project.entity_keys(model)).cast(pl.String), separator=", "))
    local = scores["event_timestamp"].dt.convert_time_zone(model.examples.calendar)
    pictures = ForecastPictures(report=report, labels=labels, scores=compared, epochs=epochs, task=model.task,
                                times=local, whose=whose.to_series())  # fmt: skip
    draw(pictures, folder, PAINTERS)


def _write(folder: Path, report: Mapping[str, Any], scores: pl.DataFrame) -> dict[str, Any]:
    (folder / REPORT).write_bytes(canonical_json(report))
    scores.write_parquet(folder / SCORES)
    return {
        "rows": scores.height,
        "metrics": report["metrics"],
        "champion_is_challenger": report["champion_is_challenger"],
        "holdout_is_fresh": report["freshness"]["fresh"],
    }
