"""The MLmodel folder of a checkpoint: its exported program in MLflow's ONNX flavour, with signature and example.

No torch is needed or imported here, and nothing in the folder is pickled.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mlops_platform.resources.artifacts import Artifact
from mlops_platform.scoring import Scorer

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

    numeric, categories = Scorer.load(checkpoint).encode(examples.head(_EXAMPLE_ROWS))
    identity = checkpoint.manifest.digest.removeprefix("sha256:")[:32]
    mlflow.onnx.save_model(
        onnx.load(checkpoint.file("program.onnx")),
        str(folder),
        signature=signature(numeric.shape[1], categories.shape[1]),
        input_example={"numeric": numeric, "categories": categories},
        mlflow_model=Model(model_uuid=identity, utc_time_created="1970-01-01 00:00:00.000000"),
        pip_requirements=[f"onnxruntime=={_version('onnxruntime')}", f"numpy=={np.__version__}"],
        onnx_execution_providers=["CPUExecutionProvider"],
        metadata={"checkpoint": checkpoint.manifest.digest},
    )


def signature(numeric: int, categories: int) -> Any:
    """MLflow's signature of a scoring program: raw numbers (NaN for null) and category codes in, a score out."""
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    inputs = [TensorSpec(np.dtype("float32"), (-1, numeric), "numeric"),
              TensorSpec(np.dtype("int64"), (-1, categories), "categories")]  # fmt: skip
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([TensorSpec(np.dtype("float32"), (-1,), "score")]))


def package_agrees(folder: Path, checkpoint: Artifact, examples: pl.DataFrame) -> dict[str, Any]:
    """Loads the folder as MLflow's users would, and compares.

    Returns:
        ``signature``: whether the signature is the program's; ``largest_difference``: between the scores that MLflow
        and our scorer give the examples.
    """
    import mlflow.pyfunc

    scorer = Scorer.load(checkpoint)
    numeric, categories = scorer.encode(examples.head(_EXAMPLE_ROWS))
    model = mlflow.pyfunc.load_model(str(folder))
    found = model.predict({"numeric": numeric, "categories": categories})["score"]
    expected = signature(numeric.shape[1], categories.shape[1])
    difference = float(np.abs(found - scorer.score(examples.head(_EXAMPLE_ROWS))).max())
    return {"signature": model.metadata.signature == expected, "largest_difference": difference}


def _version(distribution: str) -> str:
    import importlib.metadata

    return importlib.metadata.version(distribution)
