"""The exported program: bytes that depend on the weights alone, compared with torch on real rows."""

import logging
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.onnx import OnnxExporterError

from mlops_platform.errors import TrainingError
from mlops_platform.scoring import Encoding, Scorer
from mlops_platform.scoring.parity import TOLERANCE
from mlops_platform.training.program.archive import archive
from mlops_platform.training.program.inputs import Rows
from mlops_platform.training.program.naming import number_names
from mlops_platform.training.program.network import ScoringProgram
from mlops_platform.training.program.sequences import Window, first_window
from mlops_platform.training.program.stepping import OneStep

if TYPE_CHECKING:
    from onnx import ModelProto

_EXAMPLES = 64
_STEPS = 512


@dataclass(frozen=True, kw_only=True)
class Exported:
    """One traced program in two forms.

    Attributes:
        onnx: ONNX bytes.
        archive: Torch's archive, which MLflow calls ``pt2``: the same graph and inputs, called by place.
    """

    onnx: bytes
    archive: bytes


def export(program: ScoringProgram | OneStep, rows: Rows, module: str) -> Exported:
    """Exports a scorer; it is traced once for both forms.

    Args:
        program: In evaluation mode, on the CPU, in float32; of sequences, one step of it.
        rows: Whose first rows are the example that is traced; a batch of one would become a constant.
        module: Reference to the network's class, for errors.

    Returns:
        Programs with inputs ``numeric`` float32 [rows, F] and ``categories`` int64 [rows, C], output ``score``
        float32 [rows] or [rows, H]; of one step of sequences also input ``state`` and output ``next_state``
        [rows, ...]; equal for equal weights and sources wherever they lie.

    Raises:
        TrainingError: The network cannot be traced, or holds what torch would pickle.
    """
    import onnx

    batch = torch.export.Dim("rows", min=1)
    example = [_at_least_two(tensor) for tensor in (rows.numeric, rows.categories)]
    inputs, outputs = ["numeric", "categories"], ["score"]
    if isinstance(program, OneStep):
        example.append(program.initial_state(len(example[0])).detach())
        inputs, outputs = [*inputs, "state"], [*outputs, "next_state"]
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exported = torch.onnx.export(
                program, tuple(example), dynamo=True, verbose=False, optimize=True,
                input_names=inputs, output_names=outputs, dynamic_shapes={name: {0: batch} for name in inputs},
            )  # fmt: skip
        except OnnxExporterError as error:
            raise TrainingError(
                required=f"a forward of {module} that torch.export can trace and ONNX can express",
                found=_first_cause(error),
                remedy="let no value of a tensor decide which operations follow (torch.where instead of if), and use "
                "operations that ONNX has",
            ) from error  # fmt: skip
    assert exported is not None
    model = exported.model_proto
    _forget_origin(model)
    number_names(model)
    onnx.checker.check_model(model)
    traced = exported.exported_program
    assert traced is not None
    return Exported(onnx=model.SerializeToString(deterministic=True), archive=archive(traced, module))


def largest_difference(program: ScoringProgram | OneStep, encoding: Encoding, exported: bytes, rows: Rows) -> float:
    """Largest difference between torch's scores of rows and those of the exported program, in ``program.resolution``.

    Sequences are compared over their first steps, which torch takes at once and the exported program one by one.

    Raises:
        TrainingError: It is above ``TOLERANCE``.
    """
    scorer = Scorer(encoding, exported)
    with torch.inference_mode():
        if isinstance(program, OneStep):
            window = first_window(rows, steps=_STEPS, sequences=_EXAMPLES)
            ours = program.whole(window.numeric, window.categories).numpy()
            # One by itself and the others together: sequences side by side must not see each other.
            parts = [lanes for lanes in (slice(1), slice(1, None)) if len(window.numeric[lanes])]
            scores = np.concatenate([_stepped(scorer, window, lanes) for lanes in parts])
        else:
            ours = program(rows.numeric, rows.categories).numpy()
            scores = scorer.score_encoded(rows.numeric.numpy(), rows.categories.numpy())
    difference = float((np.abs(ours - scores) / program.resolution.numpy()).max())
    if not difference <= TOLERANCE:
        raise TrainingError(
            required=f"the exported program's scores within {TOLERANCE} of torch's", found=f"{difference} off",
            remedy=f"let {encoding.network['module']} depend on neither the batch nor chance when it evaluates"
            + (", and on earlier steps by its state alone" if encoding.carried else ""),
        )  # fmt: skip
    return difference


def _stepped(scorer: Scorer, window: Window, lanes: slice) -> np.ndarray:
    """Scores [S, T] or [S, T, H] of some of a window's sequences by the exported program, step by step."""
    numeric, categories = window.numeric[lanes].numpy(), window.categories[lanes].numpy()
    inputs, scores = scorer.inputs(numeric[:, 0], categories[:, 0]), []
    for step in range(numeric.shape[1]):
        answer = scorer.answer({**inputs, "numeric": numeric[:, step], "categories": categories[:, step]})
        inputs["state"] = answer["next_state"]
        scores.append(answer["score"])
    return np.stack(scores, axis=1)


def _first_cause(error: BaseException) -> str:
    """What went wrong, without the exporter's report around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


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
