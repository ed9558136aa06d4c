"""A version made ready to answer: found, compared with what was recorded of it, loaded, warmed; or refused."""

import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mlops_platform.errors import PlatformError, StoreError
from mlops_platform.manifest import short
from mlops_platform.resources.aliases import CHECKPOINT_TAG, Pointed
from mlops_platform.resources.artifacts import Artifact, ArtifactStore
from mlops_platform.resources.home import Home
from mlops_platform.scoring import Encoding, Scorer
from mlops_platform.scoring.steps import Carried
from mlops_platform.serving.states import LiveStates, read_states
from mlops_platform.spec import Column, Forecast, Model, Project

TOLERANCE = 1e-5
"""Of the two copies of a program, the checkpoint's and the registry's: by how much their scores may differ, of one."""
_OF_THE_MOMENT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_NUMBERS = ("int8", "int64", "float32", "float64", "bool")
_KINDS = {"string": "string", "int8": "integer", "int64": "integer"}

Arrays = Mapping[str, np.ndarray]
Tensor = tuple[str, str, tuple[int, ...]]
"""Name, dtype and shape of one input or output; -1 for the rows."""


class RefusedVersionError(PlatformError):
    """A version that must not answer, since what it is, is not what was recorded of it."""


@dataclass(frozen=True, kw_only=True)
class LoadedVersion:
    """A version that was verified and warmed. Nothing of it changes.

    Attributes:
        version: In the registry.
        checkpoint: Digest.
        scorer: Its program; several threads may ask it at once.
        loaded_at: UTC.
        states: From which a program of sequences goes on; None of one of rows.
    """

    version: str
    checkpoint: str
    scorer: Scorer
    loaded_at: datetime
    states: LiveStates | None = None


def load_version(home: Home, project: Project, model: Model, found: Pointed,
                 predictions: Artifact | None = None) -> LoadedVersion:  # fmt: skip
    """Verifies, loads and warms a version.

    Args:
        home: Where its checkpoint and its package lie.
        project, model: The declaration.
        found: The version and its checkpoint, as the registry tells them.
        predictions: With the states of a program of sequences.

    Raises:
        StoreError: The process lacks memory or file descriptors, which says nothing of the version.
        PlatformError: Something of it does not hold; which, and what to do.
    """
    where = f"version {found.version} of {project.name}.{model.name}"
    try:
        checkpoint = _checkpoint(home, project, model, found, where)
        scorer = Scorer.load(checkpoint)
        _require_declared(project, model, scorer.encoding, where)
        carried = scorer.encoding.carried
        states = _states(predictions, carried, where) if carried is not None else None
        _warm(model, scorer, home.mlflow / "models" / checkpoint.folder.name, checkpoint.manifest.digest, where)
    except PlatformError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _OF_THE_MOMENT):
            raise StoreError(required=f"memory and file descriptors to load {where}",
                             found=f"{type(error).__name__}: {error}",
                             remedy="free some: it is tried again at the next look") from error  # fmt: skip
        # Whatever a damaged file or program raises, in whichever library: such a version is refused and nothing else.
        raise RefusedVersionError(
            required=f"{where} to load and to answer its example", found=f"{type(error).__name__}: {error}",
            remedy="register the checkpoint again, or promote another version",
        ) from error  # fmt: skip
    return LoadedVersion(version=found.version, checkpoint=checkpoint.manifest.digest, scorer=scorer,
                         loaded_at=datetime.now(UTC), states=states)  # fmt: skip


def _states(predictions: Artifact | None, carried: Carried, where: str) -> LiveStates:
    if predictions is None:
        raise PlatformError(
            required=f"states for {where} to go on from", found="none",
            remedy="take its batch answers, which walk through all rows before",
        )  # fmt: skip
    return read_states(predictions, carried)


def _checkpoint(home: Home, project: Project, model: Model, found: Pointed, where: str) -> Artifact:
    """The checkpoint that a version's tag names, each of its files compared with its manifest."""
    if found.checkpoint is None:
        raise RefusedVersionError(
            required=f"{where} to carry the tag {CHECKPOINT_TAG}, as every version that this platform registered",
            found="no such tag", remedy=f"promote a version that the platform registered: mlops history {model.name}",
        )  # fmt: skip
    checkpoint = ArtifactStore(home).open("checkpoint", found.checkpoint)
    station = f"{project.name}/{model.name}/checkpoint"
    if checkpoint.manifest.station != station:
        raise RefusedVersionError(
            required=f"{where} to be a checkpoint of {station}", found=f"one of {checkpoint.manifest.station}",
            remedy="promote a version of this model",
        )  # fmt: skip
    for name in checkpoint.manifest.files:
        checkpoint.file(name)
    return checkpoint


def _require_declared(project: Project, model: Model, encoding: Encoding, where: str) -> None:
    """Whatever the program reads is declared, so that questions have it, and of a type that it takes."""
    columns = {f"{table}__{c.name}": c for table, group in project.feature_columns(model).items() for c in group}
    columns |= {column.name: column for column in model.context}
    columns |= {key: _key(project, model, key) for key in project.entity_keys(model)}
    wanted = {name: "number" for name in encoding.numeric} | {v.name: v.dtype for v in encoding.vocabularies}
    kinds = {name: "number" if c.dtype in _NUMBERS else c.dtype for name, c in columns.items()}
    for name, kind in wanted.items():
        declared = columns.get(name)
        agrees = declared is not None and kind in (kinds[name], _KINDS.get(declared.dtype))
        if not agrees:
            told = "no such column" if declared is None else f"{name} of dtype {declared.dtype}"
            raise RefusedVersionError(
                required=f"{name}, a {kind} that {where} reads, among the keys, context and features of {model.name}",
                found=told, remedy="promote a version that was trained by the present declaration",
            )  # fmt: skip
    sequence = model.network.sequence
    entity = sequence.entity if sequence is not None else None
    carried = encoding.carried.entity if encoding.carried is not None else None
    if entity != carried:
        raise RefusedVersionError(
            required=f"{where} to be of sequences by {entity}", found=f"by {carried}",
            remedy="promote a version that was trained by the present declaration",
        )  # fmt: skip


def _key(project: Project, model: Model, key: str) -> Column:
    """An entity key's declaration, which stands in the raw table of a feature table that has it."""
    tables = (project.feature_table(name) for name in project.feature_columns(model))
    source = next(project.raw_table(table.source) for table in tables if key in table.keys)
    return next(column for column in source.columns if column.name == key)


def _warm(model: Model, scorer: Scorer, package: Path, checkpoint: str, where: str) -> None:
    """Compares the program with the registry's package and answers the package's example by both."""
    told = _package(package, checkpoint, where)
    raw = json.loads((package / "input_example.json").read_bytes())
    signed = {side: _tensors(told["signature"][side]) for side in ("inputs", "outputs")}
    dtypes = {name: dtype for name, dtype, _ in signed["inputs"]}
    _require_equal(signed["inputs"], scorer.signature(), f"the inputs of {where} in MLflow's signature", package)
    example = {name: np.asarray(raw[name], dtype=dtype) for name, dtype in dtypes.items()}
    answered = scorer.answer(example)
    outputs = [(name, str(array.dtype), (-1, *array.shape[1:])) for name, array in answered.items()]
    _require_equal(signed["outputs"], outputs, f"the outputs of {where} in MLflow's signature", package)
    _require_sound(model, answered["score"], where)
    registered = Scorer(scorer.encoding, package / told["flavors"]["onnx"]["data"]).answer(example)["score"]
    difference = float(np.abs(registered - answered["score"]).max() / max(1.0, float(np.abs(registered).max())))
    if not difference <= TOLERANCE:
        raise RefusedVersionError(
            required=f"the program of {where} to score its example as MLflow's copy does, to {TOLERANCE:g} of one",
            found=f"a difference of {difference:.3g}", remedy=f"register it again: remove {package} and materialize",
        )  # fmt: skip
    # The path of a question, once: the first encoding and the first single row cost more than those that follow.
    scorer.score_encoded(*scorer.encode(pl.DataFrame({name: [None] for name in scorer.encoding.columns})))


def _package(folder: Path, checkpoint: str, where: str) -> dict[str, Any]:
    import yaml

    path = folder / "MLmodel"
    if not path.is_file():
        raise RefusedVersionError(
            required=f"MLflow's package of {where}", found=f"nothing at {path}",
            remedy="materialize the registered model again, or restore MLflow's folder",
        )  # fmt: skip
    told = yaml.safe_load(path.read_bytes())
    named = (told.get("metadata") or {}).get("checkpoint")
    if named != checkpoint:
        raise RefusedVersionError(
            required=f"{path} to be of checkpoint {short(checkpoint)}", found=f"checkpoint {named}",
            remedy=f"register it again: remove {folder} and materialize",
        )  # fmt: skip
    return told


def _tensors(schema: str) -> list[Tensor]:
    """The tensors of one side of MLflow's signature."""
    specs = [(entry["name"], entry["tensor-spec"]) for entry in json.loads(schema)]
    return [(name, spec["dtype"], tuple(spec["shape"])) for name, spec in specs]


def _require_equal(signed: list[Tensor], program: list[Tensor], what: str, package: Path) -> None:
    if sorted(signed) != sorted(program):
        raise RefusedVersionError(
            required=f"{what} to be those of its program: {program}", found=str(signed),
            remedy=f"register it again: remove {package} and materialize",
        )  # fmt: skip


def _require_sound(model: Model, scores: np.ndarray, where: str) -> None:
    """Finite scores of the task's shape; of a binary task, between 0 and 1."""
    shape = (model.task.horizon,) if isinstance(model.task, Forecast) else ()
    inside = isinstance(model.task, Forecast) or bool(((scores >= 0) & (scores <= 1)).all())
    if scores.shape[1:] != shape or not np.isfinite(scores).all() or not inside:
        raise RefusedVersionError(
            required=f"finite scores of shape {(-1, *shape)} of {where} for its example"
            + ("" if isinstance(model.task, Forecast) else ", each between 0 and 1"),
            found=f"{scores.tolist()}", remedy="promote another version",
        )  # fmt: skip
