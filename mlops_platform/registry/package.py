"""The MLmodel folder of a checkpoint: its exported program in MLflow's ONNX flavour, with signature and example.

No torch is needed or imported here, and nothing in the folder is pickled.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mlops_platform.resources.artifacts import Artifact
from mlops_platform.scoring import Scorer

Arrays = Mapping[str, np.ndarray]

_EXAMPLE_ROWS = 5


def write_package(checkpoint: Artifact, examples: pl.DataFrame, folder: Path) -> None:
    """Writes the MLmodel folder; its bytes depend on the checkpoint and the examples alone.

    Args:
        checkpoint: The trained model.
        examples: Rows of its dataset, of which the first few become the input example.
        folder: Where to write; must not exist.
    """
    import mlflow.onnx
    import onnx
    from mlflow.models import Model

    scorer = Scorer.load(checkpoint)
    inputs = _inputs(scorer, examples)
    identity = checkpoint.manifest.digest.removeprefix("sha256:")[:32]
    mlflow.onnx.save_model(
        onnx.load(checkpoint.file("program.onnx")),
        str(folder),
        signature=signature(inputs, scorer.answer(inputs)),
        input_example=inputs,
        mlflow_model=Model(model_uuid=identity, utc_time_created="1970-01-01 00:00:00.000000"),
        pip_requirements=[f"onnxruntime=={_version('onnxruntime')}", f"numpy=={np.__version__}"],
        onnx_execution_providers=["CPUExecutionProvider"],
        metadata={"checkpoint": checkpoint.manifest.digest},
    )


def signature(inputs: Arrays, outputs: Arrays) -> Any:
    """MLflow's signature of a scoring program, told by what it takes and answers.

    Args:
        inputs: ``numeric`` (raw numbers, NaN for null), ``categories`` (codes), and ``state`` of one of sequences.
        outputs: ``score``, and ``next_state`` of one of sequences.
    """
    from mlflow.models import ModelSignature

    return ModelSignature(inputs=_schema(inputs), outputs=_schema(outputs))


def _schema(arrays: Arrays) -> Any:
    from mlflow.types import Schema, TensorSpec

    return Schema([TensorSpec(array.dtype, (-1, *array.shape[1:]), name) for name, array in arrays.items()])


def _inputs(scorer: Scorer, examples: pl.DataFrame) -> dict[str, np.ndarray]:
    return scorer.inputs(*scorer.encode(examples.head(_EXAMPLE_ROWS)))


def package_agrees(folder: Path, checkpoint: Artifact, examples: pl.DataFrame) -> dict[str, Any]:
    """Loads the folder as MLflow's users would, and compares.

    Returns:
        ``signature``: whether the signature is the program's; ``largest_difference``: between the scores that MLflow
        and our scorer give the examples.
    """
    import mlflow.pyfunc

    scorer = Scorer.load(checkpoint)
    inputs = _inputs(scorer, examples)
    answer = scorer.answer(inputs)
    model = mlflow.pyfunc.load_model(str(folder))
    expected = signature(inputs, answer)
    difference = float(np.abs(model.predict(inputs)["score"] - answer["score"]).max())
    return {"signature": model.metadata.signature == expected, "largest_difference": difference}


def _version(distribution: str) -> str:
    import importlib.metadata

    return importlib.metadata.version(distribution)
