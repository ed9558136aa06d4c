"""``why``: the walk from one prediction back to model, dataset, feature rows, raw rows and files; asks no server."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from mlops_platform.errors import MissingArtifactError
from mlops_platform.manifest import Manifest, short
from mlops_platform.provenance.example_rows import example_rows
from mlops_platform.provenance.feature_rows import FeatureRow, SourceRows, feature_row
from mlops_platform.resources.artifacts import Artifact, ArtifactStore
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.history import DECISIONS, Move, PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.source_code import resolve
from mlops_platform.spec import Forecast, Model, Project, duration


@dataclass(frozen=True, kw_only=True)
class Why:
    """Everything behind one prediction.

    Attributes:
        prediction: Its row in the prediction log.
        features_read: The values that the model was given.
        moves: Decisions of the promotion history that are about its model version.
        checkpoint, dataset, evaluation: Manifests; the evaluation is the newest one of that checkpoint.
        tuning: The tuning whose best values the training took, if its declaration points to one.
        starts: The checkpoint that its training began from, then the one that this began from, and so on.
        example: The raw rows that the question came from.
        features: One row a feature table.
        missing: What is not recorded, in words.
    """

    prediction: dict[str, Any]
    features_read: dict[str, Any]
    moves: list[Move]
    checkpoint: Manifest
    dataset: Manifest
    evaluation: Manifest | None
    tuning: Manifest | None
    starts: list[Manifest]
    example: SourceRows
    features: list[FeatureRow]
    missing: list[str]


def why(home: Home, project: Project, prediction_id: str) -> Why:
    """Walks one prediction back.

    Args:
        home: Where everything is; no server is asked.
        project: The declaration.
        prediction_id: As the prediction log has it.

    Raises:
        MissingArtifactError: No model of the project has such a prediction.
    """
    model, row = _logged(home, project, prediction_id)
    store = ArtifactStore(home)
    batch = _batch(store, row["batch"])
    answers = pl.read_parquet(batch.file("predictions.parquet")).filter(pl.col("prediction_id") == prediction_id)
    example = answers.row(0, named=True)
    inputs = batch.manifest.recipe.inputs
    checkpoint = store.open("checkpoint", row["checkpoint"]).manifest
    dataset = store.open("dataset", checkpoint.recipe.inputs["dataset"]).manifest
    starts, gone = _starts(store, checkpoint)
    tuning, lost = _tuning(store, checkpoint)
    moves = PromotionHistory(home, project.name, model.name).moves()
    upcoming = store.open("raw", inputs[f"raw:{model.examples.upcoming_source}"]).manifest
    return Why(
        prediction=row,
        features_read={name: example[name] for name in [*project.numeric_columns(model), *model.categories]},
        moves=[move for move in moves if move.challenger == row["checkpoint"] and move.action in DECISIONS],
        checkpoint=checkpoint,
        dataset=dataset,
        evaluation=_evaluation(home, project, model, row["checkpoint"]),
        tuning=tuning,
        starts=starts,
        example=example_rows(
            home, project.raw_table(model.examples.upcoming_source), upcoming, resolve(model.examples.upcoming),
            model.examples.id, row["example_id"], row["event_timestamp"], ahead=_ahead(model),
        ),
        features=_features(home, project, model, store, inputs, example),
        missing=[*_missing(project, model, checkpoint), *gone, *lost],
    )  # fmt: skip


def _ahead(model: Model) -> timedelta:
    return model.task.horizon * duration(model.task.step) if isinstance(model.task, Forecast) else timedelta(0)


def _logged(home: Home, project: Project, prediction_id: str) -> tuple[Model, dict[str, Any]]:
    for model in project.models:
        log = DeltaDoor(home.prediction_log(project.name, model.name))
        found = log.scan().filter(pl.col("prediction_id") == prediction_id).collect() if log.exists else pl.DataFrame()
        if not found.is_empty():
            return model, found.drop("_partition").row(0, named=True)
    logs = [str(home.prediction_log(project.name, model.name)) for model in project.models]
    raise MissingArtifactError(
        required=f"a prediction {prediction_id!r} in the prediction log", found=f"none in {', '.join(logs)}",
        remedy="take an id from the predictions asset, or from: mlops status",
    )  # fmt: skip


def _batch(store: ArtifactStore, batch: str) -> Artifact:
    for path in sorted((store.root / "predictions").glob("*/manifest.json")):
        manifest = Manifest.from_json(path.read_bytes(), source=str(path))
        if manifest.content["batch"] == batch:
            return store.open("predictions", manifest.digest)
    raise MissingArtifactError(required=f"the predictions of batch {batch}", found="no such artifact",
                               remedy="materialize the predictions: they are made again with equal bytes")  # fmt: skip


def _evaluation(home: Home, project: Project, model: Model, checkpoint: str) -> Manifest | None:
    found = Refs(home).find(f"{project.name}/{model.name}/evaluation")
    return found.manifest if found and found.manifest.recipe.inputs.get("checkpoint") == checkpoint else None


def _starts(store: ArtifactStore, checkpoint: Manifest) -> tuple[list[Manifest], list[str]]:
    """The checkpoints that warm starts go back to, newest first, and what of them the store no longer has."""
    starts: list[Manifest] = []
    while (digest := (starts[-1] if starts else checkpoint).recipe.inputs.get("warm_start")) is not None:
        try:
            starts.append(store.open("checkpoint", digest).manifest)
        except MissingArtifactError as error:
            return starts, [f"the checkpoint {short(digest)} that a training began from: {error.found}"]
    return starts, []


def _tuning(store: ArtifactStore, checkpoint: Manifest) -> tuple[Manifest | None, list[str]]:
    """The tuning that a checkpoint took its values from, or that the store no longer has it."""
    digest = checkpoint.recipe.inputs.get("tuning")
    if digest is None:
        return None, []
    try:
        return store.open("tuning", digest).manifest, []
    except MissingArtifactError as error:
        return None, [f"the tuning {short(digest)} that the values of a training come from: {error.found}"]


def _features(home: Home, project: Project, model: Model, store: ArtifactStore, inputs: Any,
              example: dict[str, Any]) -> list[FeatureRow]:  # fmt: skip
    rows = []
    for name, columns in project.feature_columns(model).items():
        table = project.feature_table(name)
        features = store.open("features", inputs[f"features:{name}"]).manifest
        raw = store.open("raw", features.recipe.inputs[table.source]).manifest
        rows.append(feature_row(home, table, [column.name for column in columns], example, features, raw))
    return rows


def _missing(project: Project, model: Model, checkpoint: Manifest) -> list[str]:
    missing = ["why the upstream delivered what it delivered: the walk ends at the landed file and its row numbers"]
    if checkpoint.produced.git_revision is None:
        missing.append("the git revision: the code did not run from a repository (its digest is recorded)")
    elif checkpoint.produced.git_revision.endswith("-dirty"):
        missing.append("uncommitted changes of the working tree (the digest of the code that ran is recorded)")
    return missing


def as_json(found: Why) -> dict[str, Any]:
    """The walk as JSON values; times are ISO 8601 in UTC."""
    return _plain(
        {**asdict(found), "digests": {"checkpoint": found.checkpoint.digest, "dataset": found.dataset.digest}}
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
