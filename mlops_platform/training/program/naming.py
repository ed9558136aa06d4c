"""Names within an ONNX program: by the place of what they name, whatever its tracer met before."""

import re
from collections import Counter
from collections.abc import Iterator, MutableSequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

_NUMBER = re.compile(r"(_\d+)+$")


def number_names(model: "ModelProto") -> None:
    """Numbers nodes and inner values by their places.

    The exporter counts all that it traced, also comparisons of sizes that nothing uses; the first trace of a process
    meets more of them than later ones. Inputs, outputs and weights keep their names.

    Args:
        model: Changed in place.
    """
    graph = model.graph
    kept = {each.name for each in (*graph.input, *graph.output)} | {""}
    numbers: Counter[str] = Counter()
    names: dict[str, str] = {}
    weights = [each.name for each in graph.initializer]
    for name in (*weights, *(output for node in _nodes(graph) for output in node.output)):
        if name not in kept and name not in names and "." not in name:
            base = _NUMBER.sub("", name)
            names[name] = f"{base}_{numbers[base]}"
            numbers[base] += 1
    for place, node in enumerate(_nodes(graph)):
        node.name = f"{node.op_type}_{place}"
        _rename(node.input, names)
        _rename(node.output, names)
    for each in _graphs(graph):
        for value in (*each.initializer, *each.value_info, *each.output):
            value.name = names.get(value.name, value.name)


def _rename(values: MutableSequence[str], names: dict[str, str]) -> None:
    values[:] = [names.get(name, name) for name in values]


def _nodes(graph: "GraphProto") -> Iterator["NodeProto"]:
    for each in _graphs(graph):
        yield from each.node


def _graphs(graph: "GraphProto") -> Iterator["GraphProto"]:
    """A graph, and those that its nodes hold as branches and bodies."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)
