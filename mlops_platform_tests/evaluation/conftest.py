"""A laboratory: a home with a small dataset and ONNX checkpoints of chosen quality, and the room's stations over it."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest

from mlops_platform.evaluation.assets import evaluation_asset, gate_asset
from mlops_platform.evaluation.checks import evaluation_checks
from mlops_platform.manifest import Manifest, Produced, Recipe, digest_file
from mlops_platform.resources.artifacts import Artifact, ArtifactStore
from mlops_platform.resources.history import Move, PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import MlflowResource
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.station import Stations
from mlops_platform.spec import Examples, FeatureTable, Model, Network, Project, RawTable, columns

ANY_FUNCTION = "json:dumps"
HOLDOUT_START = datetime(2024, 3, 1, tzinfo=UTC)
PRODUCED = Produced(at="2024-04-01T00:00:00+00:00", seconds=1.0, run_id="run", correlation_id="run", actor="test")
Signal = tuple[float, float]


def _rows(count: int, start: datetime, seed: int) -> pl.DataFrame:
    """Rows whose label follows ``a``, bends with ``b`` (which no line can follow), and differs a little by place."""
    random = np.random.default_rng(seed)
    a, b = random.normal(size=count), random.normal(size=count)
    odds = 1.2 * a + 1.5 * (np.abs(b) - 0.8) - 1.0
    label = random.random(count) < 1 / (1 + np.exp(-odds))
    event = [start + timedelta(minutes=10 * i) for i in range(count)]
    return pl.DataFrame(
        {
            "id": [f"{seed}-{i}" for i in range(count)],
            "place": random.choice(["x", "y", "z", "rare"], count, p=[0.5, 0.3, 0.19, 0.01]),
            "event_timestamp": event,
            "facts__a": pl.Series(a, dtype=pl.Float32),
            "facts__b": pl.Series(b, dtype=pl.Float32).set(pl.Series(random.random(count) < 0.02), None),
            "label": pl.Series(label.astype(np.int8)),
            "label_known_timestamp": [at + timedelta(hours=1) for at in event],
        }
    )


@pytest.fixture(scope="session")
def tables() -> dict[str, pl.DataFrame]:
    """The split of a dataset: 3000, 600 and 1500 rows."""
    return {
        "train": _rows(3000, HOLDOUT_START - timedelta(days=40), seed=1),
        "validation": _rows(600, HOLDOUT_START - timedelta(days=10), seed=2),
        "holdout": _rows(1500, HOLDOUT_START, seed=3),
    }


def _program(path: Path, signal: Signal, *, broken: str | None) -> None:
    """Writes ONNX: sigmoid(signal[0] * a + signal[1] * (|b| - 0.8) - 1), null as zero; or what is ``broken``."""
    from onnx import TensorProto, helper, save

    floats, longs = TensorProto.FLOAT, TensorProto.INT64
    constants = {
        "zero": [0.0], "weight": [*signal], "shift": [-1.0 - 0.8 * signal[1]], "first": [1.0, 0.0],
        "second": [0.0, 1.0], "spoiler": [float("nan") if broken == "nan" else 0.0],
    }  # fmt: skip
    nodes = [
        helper.make_node("IsNaN", ["numeric"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "numeric"], ["known"]),
        helper.make_node("Abs", ["known"], ["absolute"]),
        helper.make_node("Mul", ["known", "first"], ["left"]),
        helper.make_node("Mul", ["absolute", "second"], ["right"]),
        helper.make_node("Add", ["left", "right"], ["bent"]),
        helper.make_node("Mul", ["bent", "weight"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "axis"], ["odds"], keepdims=0),
        helper.make_node("Add", ["odds", "shift"], ["shifted"]),
        helper.make_node("Add", ["shifted", "spoiler"], ["logit"]),
        helper.make_node("Identity" if broken == "logit" else "Sigmoid", ["logit"], ["score"]),
    ]
    initial = [helper.make_tensor(name, floats, [len(v)], v) for name, v in constants.items()]
    initial.append(helper.make_tensor("axis", longs, [1], [1]))
    inputs = [helper.make_tensor_value_info("numeric", floats, ["N", 2]),
              helper.make_tensor_value_info("categories", longs, ["N", 1])]  # fmt: skip
    output = helper.make_tensor_value_info("score", floats, ["N"])
    graph = helper.make_graph(nodes, "tiny", inputs, [output], initial)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


class Lab:
    """A home in a temporary folder, and what is put into it."""

    def __init__(self, path: Path, tables: dict[str, pl.DataFrame]) -> None:
        self.home = Home(path / "home")
        self.store = ArtifactStore(self.home)
        self.tables = tables
        repo = path / "feast"
        repo.mkdir()
        (repo / "feature_store.yaml").write_text("project: tiny\n")
        raw = RawTable(name="rows", columns=columns("string", "id", "place"), key=("id",), times=ANY_FUNCTION)
        facts = columns("float32", "a", "b")
        table = FeatureTable(name="facts", source="rows", compute=ANY_FUNCTION, keys=("place",), columns=facts)
        self.model = Model(
            name="shape", feature_service="shape", features=("facts",), categories=("place",), slices=("place",),
            network=Network(module="collections:OrderedDict"),
            examples=Examples(
                source="rows", labelled=ANY_FUNCTION, upcoming_source="rows", upcoming=ANY_FUNCTION, id="id"
            ),
        )  # fmt: skip
        self.project = Project(name="tiny", raw_tables=(raw,), feature_tables=(table,), models=(self.model,),
                               feature_repo=repo, owner="team:test")  # fmt: skip

    def dataset(self, *, trained_until: datetime = HOLDOUT_START, **replaced: pl.DataFrame) -> Artifact:
        """Commits the dataset, with some of its tables replaced."""

        def fill(folder: Path) -> None:
            for name, frame in {**self.tables, **replaced}.items():
                frame.write_parquet(folder / f"{name}.parquet")

        content = {"holdout_start": HOLDOUT_START.isoformat(), "trained_until": trained_until.isoformat()}
        return self._commit("dataset", fill, content, {})

    def checkpoint(
        self, signal: Signal, dataset: Artifact, *, broken: str | None = None, category: str = "place"
    ) -> Artifact:
        """Commits a checkpoint whose program weighs the two inputs so; ``broken`` gives logits or NaN."""

        def fill(folder: Path) -> None:
            _program(folder / "program.onnx", signal, broken=broken)
            vocabulary = {"name": category, "dtype": "string", "values": ["x", "y", "z"]}
            encoding = {"format": 1, "numeric": ["facts__a", "facts__b"], "vocabularies": [vocabulary], "network": {}}
            (folder / "scoring.json").write_text(json.dumps(encoding))
            epoch = {"train_loss": 0.6, "validation_loss": 0.61, "validation_auc": 0.7}
            (folder / "curves.json").write_text(json.dumps([{"epoch": i, **epoch} for i in range(3)]))

        return self._commit("checkpoint", fill, {}, {"dataset": dataset.manifest.digest})

    def promote(self, checkpoint: Artifact) -> None:
        """Makes a checkpoint the champion."""
        digest = checkpoint.manifest.digest
        PromotionHistory(self.home, "tiny", "shape").append(
            Move(at="2024-02-01T00:00:00+00:00", action="promote", version="1", champion="1", previous=None,
                 checkpoint=digest, challenger=digest, verdict="sha256:0", reason="first", actor="test", run_id="run")
        )  # fmt: skip

    def point(self, *artifacts: Artifact) -> None:
        """Makes these what their stations stand for."""
        for artifact in artifacts:
            Refs(self.home).write(artifact.manifest)

    def materialize(self, **gate: Any) -> dg.ExecuteInProcessResult:
        """Runs both assets and their checks in process."""
        model = replace(self.model, gate=replace(self.model.gate, **{"resamples": 100, **gate}))
        definitions = dg.Definitions(
            assets=[evaluation_asset(self.project, model), gate_asset(self.project, model)],
            asset_checks=evaluation_checks(self.project, model),
            resources={"stations": Stations(path=str(self.home.path), environment="dev", mlflow=MlflowResource())},
            jobs=[dg.define_asset_job("judge", dg.AssetSelection.all())],
        )
        with dg.DagsterInstance.ephemeral() as instance:
            return definitions.resolve_job_def("judge").execute_in_process(instance=instance, raise_on_error=False)

    def verdict(self) -> dict[str, Any]:
        """What the gate found last."""
        return json.loads(Refs(self.home).read("tiny/shape/gate").file("verdict.json").read_bytes())

    def report(self) -> dict[str, Any]:
        """What the last evaluation measured."""
        return json.loads(Refs(self.home).read("tiny/shape/evaluation").file("report.json").read_bytes())

    def _commit(self, kind: str, fill: Callable[[Path], None], content: dict[str, Any],
                inputs: dict[str, str]) -> Artifact:  # fmt: skip
        staging = self.store.stage()
        fill(staging)
        recipe = Recipe(station=f"tiny/shape/{kind}", functions=(), code="", config={}, software={}, inputs=inputs)
        files = {path.name: digest_file(path) for path in sorted(staging.iterdir())}
        manifest = Manifest(kind=kind, station=recipe.station, environment="dev", files=files, table=None,
                            content=content, recipe=recipe, produced=PRODUCED)  # fmt: skip
        return self.store.open(kind, self.store.commit(staging, manifest).digest)


@pytest.fixture
def lab(tmp_path: Path, tables: dict[str, pl.DataFrame], monkeypatch: pytest.MonkeyPatch) -> Lab:
    """An empty laboratory; Stations sets variables of the process, which are put back."""
    for name in ("MLOPS_HOME", "DAGSTER_HOME", "MLOPS_ENV", "FEAST_USAGE", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("MLOPS_ENV", "dev")
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / "home"))
    return Lab(tmp_path, tables)
