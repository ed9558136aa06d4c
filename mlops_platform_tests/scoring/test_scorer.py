"""The scorer without torch: a program made by hand, verified bytes, and what loading it imports."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from onnx import TensorProto, helper

from mlops_platform.errors import CorruptArtifactError, MissingArtifactError
from mlops_platform.manifest import Manifest, Produced, Recipe, digest_file
from mlops_platform.scoring import PROGRAM, SCORING, Encoding, InputError, Scorer

ENCODING = Encoding.learn(pl.DataFrame({"a": [1.0], "b": [2.0], "c": ["x"]}), ["a", "b"], ["c"], {})
FRAME = pl.DataFrame({"c": ["x", "y"], "b": [0.25, 0.5], "a": [1.0, 2.0]})


def _program() -> bytes:
    """score = the sum of the numeric columns and the category code."""
    numbers = helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["rows", 2])
    codes = helper.make_tensor_value_info("categories", TensorProto.INT64, ["rows", 1])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows"])
    nodes = [
        helper.make_node("Cast", ["categories"], ["codes"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["numeric", "codes"], ["both"], axis=1),
        helper.make_node("ReduceSum", ["both", "axes"], ["score"], keepdims=0),
    ]
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(nodes, "sum", [numbers, codes], [score], [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model.SerializeToString()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A committed checkpoint's folder."""
    (tmp_path / PROGRAM).write_bytes(_program())
    (tmp_path / SCORING).write_text(json.dumps(ENCODING.to_json()))
    manifest = Manifest(
        kind="checkpoint", station="p/m/checkpoint", environment="dev", table=None, content={},
        files={path.name: digest_file(path) for path in tmp_path.iterdir()},
        recipe=Recipe(station="p/m/checkpoint", functions=(), code="", config={}, software={}, inputs={}),
        produced=Produced(at="", seconds=0, run_id="", correlation_id="", actor="test"),
    )  # fmt: skip
    (tmp_path / "manifest.json").write_bytes(manifest.to_json())
    return tmp_path


def test_it_scores_rows_whatever_the_order_of_their_columns(folder: Path) -> None:
    scores = Scorer.load(folder, threads=2).score(FRAME)
    assert scores.dtype == np.float32
    assert scores.tolist() == [2.25, 2.5]


def test_no_rows_give_no_scores(folder: Path) -> None:
    assert Scorer.load(folder).score(FRAME.clear()).shape == (0,)


def test_a_missing_column_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match="columns b"):
        Scorer.load(folder).score(FRAME.drop("b"))


@pytest.mark.parametrize("name", [PROGRAM, SCORING])
def test_changed_bytes_are_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    with pytest.raises(CorruptArtifactError, match=name):
        Scorer.load(folder)


def test_a_folder_without_a_manifest_is_no_checkpoint(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    with pytest.raises(MissingArtifactError, match=r"no manifest\.json"):
        Scorer.load(folder)


def test_scoring_imports_neither_torch_nor_dagster() -> None:
    heavy = ("torch", "dagster", "onnxruntime")
    code = f"import sys, mlops_platform.scoring; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                            cwd=Path(__file__).parents[2])  # fmt: skip
    assert answer.stdout.strip() == "[]"
