"""Torch's own form of the exported program, as MLflow calls it ``pt2``: bytes that depend on weights and code alone."""

import io

import torch
from torch.export import ExportedProgram
from torch.fx.experimental.symbolic_shapes import free_symbols

from mlops_platform.errors import TrainingError
from mlops_platform.scoring.torch_archive import suspects

_ORIGIN = ("stack_trace", "from_node")


def archive(traced: ExportedProgram, module: str) -> bytes:
    """Writes a traced program as torch's archive, in which nothing is pickled but an empty dict.

    Args:
        traced: The graph that the ONNX program was translated from.
        module: Reference to the network's class, for the error.

    Returns:
        Equal bytes for equal weights and sources, wherever they lie and whichever process writes them.

    Raises:
        TrainingError: A weight or constant of the network is of a class that torch would pickle.
    """
    # Comparisons of sizes that nothing uses, of which the first trace of a process meets more than later ones.
    traced.graph.eliminate_dead_code()
    for node in traced.graph.nodes:
        # File names of this machine, and addresses in this process's memory.
        for note in _ORIGIN:
            node.meta.pop(note, None)
    # Sizes that the tracer has met on its way and the graph no longer knows; the loader would warn of each.
    sizes = {size for node in traced.graph.nodes for size in free_symbols(node.meta.get("val"))}
    traced._range_constraints = {size: span for size, span in traced.range_constraints.items() if size in sizes}
    # No setter takes none, and the loader of MLflow 3.17 refuses an archive without any.
    traced._example_inputs = {}  # type: ignore[assignment]
    buffer = io.BytesIO()
    torch.export.save(traced, buffer)
    data = buffer.getvalue()
    found = suspects(data)
    if found:
        raise TrainingError(
            required=f"weights and constants of {module} that are plain tensors, as nothing may be pickled",
            found=f"torch would pickle {', '.join(found)}",
            remedy="keep tensors of torch.Tensor's own class in the network, and no other objects that forward uses",
        )  # fmt: skip
    return data
