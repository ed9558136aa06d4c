"""The MLmodel folder of a checkpoint: its exported program in MLflow's ONNX flavour, with signature and example, and
torch's form of the same program (``pt2``) in MLflow's PyTorch flavour, for those who go on with torch.

No torch is needed or imported here, and nothing in the folder can call anything when it is read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mlops_platform.manifest import digest_file
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.scoring import Scorer
from mlops_platform.scoring.parity import Parity
from mlops_platform.scoring.torch_archive import ARCHIVE, torch_version

Arrays = Mapping[str, np.ndarray]

_EXAMPLE_ROWS = 5
# As mlflow.pytorch names them, which cannot be imported without torch.
_TORCH, _TORCH_DATA, _TORCH_FILE = "pytorch", "data", "model.pt2"


def write_package(checkpoint: Artifact, examples: pl.DataFrame, folder: Path) -> None:
    """Writes the MLmodel folder; its bytes depend on the checkpoint and the examples alone.

    Args:
        checkpoint: The trained model.
        examples: Rows of its dataset, of which the first few become the input example.
        folder: Where to write; must not exist.

    Raises:
        CorruptArtifactError: The trainer did not compare the program with its module.
        DifferentProgramError: It did, and they are two models.
    """
    import mlflow.onnx
    import onnx
    from mlflow.models import Model

    Parity.of(checkpoint).require()
    scorer = Scorer.load(checkpoint)
    inputs = _inputs(scorer, examples)
    identity = checkpoint.manifest.digest.removeprefix("sha256:")[:32]
    described = Model(model_uuid=identity, utc_time_created="1970-01-01 00:00:00.000000")
    mlflow.onnx.save_model(
        onnx.load(checkpoint.file("program.onnx")),
        str(folder),
        signature=signature(inputs, scorer.answer(inputs)),
        input_example=inputs,
        mlflow_model=described,
        pip_requirements=[f"onnxruntime=={_version('onnxruntime')}", f"numpy=={np.__version__}"],
        onnx_execution_providers=["CPUExecutionProvider"],
        metadata={"checkpoint": checkpoint.manifest.digest},
    )
    _add_torch_form(checkpoint, described, folder)


def _add_torch_form(checkpoint: Artifact, described: Any, folder: Path) -> None:
    """Puts torch's archive where MLflow's loader looks for it; ``python_function`` stays the ONNX program."""
    from mlflow.models.model import MLMODEL_FILE_NAME
    from mlflow.utils.file_utils import get_total_file_size

    archive = checkpoint.file(ARCHIVE).read_bytes()
    (folder / _TORCH_DATA).mkdir()
    (folder / _TORCH_DATA / _TORCH_FILE).write_bytes(archive)
    described.add_flavor(_TORCH, model_data=_TORCH_DATA, pytorch_version=torch_version(archive), code=None)
    described.model_size_bytes = get_total_file_size(folder)
    described.save(str(folder / MLMODEL_FILE_NAME))


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
        and our scorer give the examples; ``torch_form``: whether torch's form is the one that the trainer compared.
    """
    import mlflow.pyfunc

    scorer = Scorer.load(checkpoint)
    inputs = _inputs(scorer, examples)
    answer = scorer.answer(inputs)
    model = mlflow.pyfunc.load_model(str(folder))
    expected = signature(inputs, answer)
    difference = float(np.abs(model.predict(inputs)["score"] - answer["score"]).max())
    kept = folder / _TORCH_DATA / _TORCH_FILE
    same = _TORCH in model.metadata.flavors and digest_file(kept) == checkpoint.manifest.files[ARCHIVE]
    return {"signature": model.metadata.signature == expected, "largest_difference": difference, "torch_form": same}


def _version(distribution: str) -> str:
    import importlib.metadata

    return importlib.metadata.version(distribution)
