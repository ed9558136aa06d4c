"""Versions that must not answer, planted in a home, and questions to those that may."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import polars as pl
from onnx import helper, numpy_helper

from mlops_platform.manifest import digest_file
from mlops_platform.registry.alias import ChampionAlias
from mlops_platform.resources.aliases import CHAMPION, CHECKPOINT_TAG
from mlops_platform.resources.artifacts import Artifact, ArtifactStore
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import MlflowDoor
from mlops_platform.resources.refs import Refs
from mlops_platform.serving.question import Question

NAME = "pumps.pump_repair"
EXAMPLES = ["pump", "event_timestamp", "weekday", "inspection_id"]
FEATURES = ["pump_state__temperature", "pump_state__vibration"]


def champion_of(home: Home) -> ChampionAlias:
    """History and alias of the pumps' model."""
    history = PromotionHistory(home, "pumps", "pump_repair")
    return ChampionAlias(history=history, door=MlflowDoor(home, "pumps"), name=NAME)


def holdout(home: Home, rows: int = 5) -> pl.DataFrame:
    """The first rows of the newest dataset's holdout."""
    return pl.read_parquet(Refs(home).read("pumps/pump_repair/dataset").file("holdout.parquet"), n_rows=rows)


def by_values(frame: pl.DataFrame) -> Question:
    """A question about rows, which brings their features."""
    return Question(examples=frame.select(EXAMPLES), features=frame.select(FEATURES))


def checkpoint_of(home: Home, version: str) -> Artifact:
    """The checkpoint of a version."""
    digest = champion_of(home).registered_checkpoint(version)
    return ArtifactStore(home).open("checkpoint", digest)


def flip_a_bit(path: Path) -> None:
    """Changes one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def nan_scores(program: Path) -> None:
    """Makes a program score NaN."""
    model = onnx.load(program)
    for node in model.graph.node:
        node.output[:] = ["sound" if name == "score" else name for name in node.output]
    model.graph.initializer.append(numpy_helper.from_array(np.array(np.nan, dtype=np.float32), "nan"))
    model.graph.node.append(helper.make_node("Mul", ["sound", "nan"], ["score"]))
    onnx.save(model, program)


def registered(home: Home, change: Callable[[Path], None], *, of: str = "2", tag: bool = True) -> str:
    """Registers a copy of a version's checkpoint whose program was changed; everything about it is in order but that.

    Returns:
        The new version.
    """
    store, source = ArtifactStore(home), checkpoint_of(home, of)
    staging = store.stage()
    for name in source.manifest.files:
        shutil.copy(source.folder / name, staging / name)
    change(staging / "program.onnx")
    files = {name: digest_file(staging / name) for name in source.manifest.files}
    made = store.commit(staging, replace(source.manifest, files=files))
    models, digest = home.mlflow / "models", made.digest.removeprefix("sha256:")
    shutil.copytree(models / source.folder.name, models / digest)
    for data in (models / digest).glob("*.data"):
        data.unlink()
    shutil.copy(store.open("checkpoint", made.digest).file("program.onnx"), models / digest / "model.onnx")
    text = (models / digest / "MLmodel").read_text().replace(source.manifest.digest, made.digest)
    (models / digest / "MLmodel").write_text(text)
    tags = {CHECKPOINT_TAG: made.digest} if tag else {}
    client = MlflowDoor(home, "pumps").client
    return str(client.create_model_version(NAME, source=str(models / digest), tags=tags).version)


def point(home: Home, version: str) -> None:
    """Moves the alias by hand, in MLflow."""
    MlflowDoor(home, "pumps").client.set_registered_model_alias(NAME, CHAMPION, version)
