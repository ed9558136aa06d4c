"""Finding one answer among millions: in the prediction logs by file statistics, and its batch among the artifacts."""

from pathlib import Path
from typing import Any

import polars as pl

from mlops_platform.errors import MissingArtifactError
from mlops_platform.manifest import Manifest
from mlops_platform.resources.artifacts import MANIFEST, Artifact, ArtifactStore
from mlops_platform.resources.delta import PARTITION, DeltaDoor
from mlops_platform.resources.delta_files import TableFiles, collected
from mlops_platform.resources.home import Home
from mlops_platform.resources.prediction_log.ids import worker_of
from mlops_platform.resources.prediction_log.segments import pending
from mlops_platform.spec import Model, Project

_LONGEST = 200
_folders: dict[tuple[Path, str], str] = {}


class UnknownPredictionError(MissingArtifactError):
    """An id that no prediction of the project has."""


def logged(home: Home, project: Project, prediction_id: str) -> tuple[Model, dict[str, Any]]:
    """The model that gave an answer, and the answer's row in the prediction log.

    Ids of live answers begin with their time and those of a batch with its digest, so that the statistics of the log's
    files lead to the one that has it; an id of the old, random form is looked for in every file. A live answer is found
    as soon as it was sent, in the journal in which it waits for the log; one that is in neither was shipped meanwhile,
    or is in none.

    Args:
        home: Where the logs are.
        project: Whose models.
        prediction_id: Any text.

    Raises:
        UnknownPredictionError: No model of the project has such a prediction.
    """
    if len(prediction_id) <= _LONGEST:
        for look in (_in_log, _waiting, _in_log):
            for model in project.models:
                row = look(home, project, model, prediction_id)
                if row is not None:
                    return model, row
    logs = [home.relative(home.prediction_log(project.name, model.name)) for model in project.models]
    shown = prediction_id if len(prediction_id) <= _LONGEST else f"{prediction_id[:_LONGEST]}..."
    raise UnknownPredictionError(
        required=f"a prediction {shown!r} in the prediction log", found=f"none in {', '.join(logs)} of this home",
        remedy="take an id from an answer, from the predictions asset, or from: mlops status",
    )  # fmt: skip


def _in_log(home: Home, project: Project, model: Model, prediction_id: str) -> dict[str, Any] | None:
    path = home.prediction_log(project.name, model.name)
    if not DeltaDoor(path).exists:
        return None
    files = TableFiles.at(path)
    (found,) = collected([files.scan({"prediction_id": (prediction_id, prediction_id)})], [files])
    return _row(found)


def _waiting(home: Home, project: Project, model: Model, prediction_id: str) -> dict[str, Any] | None:
    # Of another form than live ids: it never waits in a journal.
    return _row(pending(home, project, model, prediction_id)) if worker_of(prediction_id) is not None else None


def _row(found: pl.DataFrame) -> dict[str, Any] | None:
    return None if found.is_empty() else found.drop(PARTITION).row(0, named=True)


def batch_of(store: ArtifactStore, row: dict[str, Any]) -> Artifact | None:
    """The predictions of the batch in which an answer was given; None where the store no longer has them.

    The artifact is written when its answers have been logged, so those of about that time are looked at first.

    Args:
        store: Where artifacts are.
        row: Of the prediction log.
    """
    root, batch = store.root / "predictions", row["batch"]
    known = _folders.get((root, batch))
    folders = [root / known] if known else []
    if root.is_dir():
        at = row["answered_at"].timestamp()
        folders += sorted(root.iterdir(), key=lambda folder: abs(folder.stat().st_mtime - at))
    for folder in folders:
        path = folder / MANIFEST
        data = path.read_bytes() if path.is_file() else b""
        if batch.encode() in data and Manifest.from_json(data, source=str(path)).content["batch"] == batch:
            _folders[root, batch] = folder.name
            return store.open("predictions", f"sha256:{folder.name}")
    return None


def example_of(batch: Artifact, prediction_id: str) -> dict[str, Any]:
    """The example behind an answer of a batch, with its features.

    Raises:
        MissingArtifactError: The batch has no such answer.
        CorruptArtifactError: The batch's file is not what its manifest says.
    """
    rows = pl.scan_parquet(batch.file("predictions.parquet"), glob=False)
    found = rows.filter(pl.col("prediction_id") == pl.lit(prediction_id)).collect()
    if found.is_empty():
        raise MissingArtifactError(
            required=f"the answer {prediction_id} among those of its batch",
            found=f"{batch.manifest.content['rows']} others in {batch.folder.name[:12]}",
            remedy="restore the prediction log from a backup: an entry of it was edited",
        )
    return found.row(0, named=True)
