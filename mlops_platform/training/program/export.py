"""The exported program: ONNX bytes that depend on the weights alone, compared with torch on real rows."""

import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch

from mlops_platform.errors import TrainingError
from mlops_platform.scoring import Encoding, Scorer
from mlops_platform.training.program.inputs import Rows
from mlops_platform.training.program.network import ScoringProgram

if TYPE_CHECKING:
    from onnx import ModelProto

TOLERANCE = 1e-5
_EXAMPLES = 64


def export(program: ScoringProgram, rows: Rows) -> bytes:
    """Exports a scorer.

    Args:
        program: In evaluation mode, on the CPU, in float32.
        rows: Whose first rows are the example that is traced; a batch of one would become a constant.

    Returns:
        ONNX bytes: inputs ``numeric`` float32 [rows, F] and ``categories`` int64 [rows, C], output ``score``
        float32 [rows] or [rows, H]; equal for equal weights and sources wherever they lie.
    """
    import onnx

    batch = torch.export.Dim("rows", min=1)
    example = [_at_least_two(tensor) for tensor in (rows.numeric, rows.categories)]
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = torch.onnx.export(
            program, tuple(example), dynamo=True, verbose=False, optimize=True,
            input_names=["numeric", "categories"], output_names=["score"],
            dynamic_shapes={"numeric": {0: batch}, "categories": {0: batch}},
        )  # fmt: skip
    assert exported is not None
    model = exported.model_proto
    _forget_origin(model)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def largest_difference(program: ScoringProgram, encoding: Encoding, exported: bytes, rows: Rows) -> float:
    """Largest difference between torch's scores of rows and those of the exported program, in ``program.resolution``.

    Raises:
        TrainingError: It is above ``TOLERANCE``.
    """
    with torch.inference_mode():
        ours = program(rows.numeric, rows.categories).numpy()
    scores = Scorer(encoding, exported).score_encoded(rows.numeric.numpy(), rows.categories.numpy())
    difference = float((np.abs(ours - scores) / program.resolution.numpy()).max())
    if not difference <= TOLERANCE:
        raise TrainingError(
            required=f"the exported program's scores within {TOLERANCE} of torch's", found=f"{difference} off",
            remedy=f"let {encoding.network['module']} depend on neither the batch nor chance when it evaluates",
        )  # fmt: skip
    return difference


def _at_least_two(tensor: torch.Tensor) -> torch.Tensor:
    head = tensor[:_EXAMPLES]
    return head if len(head) > 1 else head.repeat(2, 1)


def _forget_origin(model: "ModelProto") -> None:
    """Drops what tells of this machine: the exporter notes file paths and line numbers on every node."""
    del model.metadata_props[:]
    model.doc_string = ""
    for graph in (model.graph, *model.functions):
        del graph.metadata_props[:]
        graph.doc_string = ""
        for item in (*graph.node, *graph.value_info):
            del item.metadata_props[:]
            item.doc_string = ""
    for item in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""
