"""Names within an exported program tell places, so that equal programs have equal bytes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from mlops_platform.training.program.naming import number_names


def test_the_first_export_of_a_process_has_the_bytes_of_the_second() -> None:
    command = [sys.executable, "-W", "ignore", "-m", "mlops_platform_tests.training.twice"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    first, second = done.stdout.splitlines()[-2:]
    assert first == second and len(first.split()) == 2


def branching(begin: int) -> onnx.ModelProto:
    """Adds a weight and then, in a branch, 1 or 2; its inner names are numbered from a number on."""
    inner, kept, one, two, chosen = (f"val_{begin + place}" for place in range(5))
    value = helper.make_tensor_value_info

    def branch(constant: str) -> onnx.GraphProto:
        last = f"{constant}_{begin}"
        node = helper.make_node("Add", [inner, constant], [last], name=f"node_Add_{begin}")
        return helper.make_graph([node], "branch", [], [value(last, TensorProto.FLOAT, [1])])

    nodes = [
        helper.make_node("Add", ["numeric", "program.weight"], [inner], name=f"node_Add_{begin}"),
        helper.make_node("Greater", [inner, "program.weight"], [kept], name=f"node_Greater_{begin + 1}"),
        helper.make_node("If", [kept], [chosen], name="node_If", then_branch=branch(one), else_branch=branch(two)),
        helper.make_node("Identity", [chosen], ["score"]),
    ]
    tensors = {"program.weight": 0.5, one: 1.0, two: 2.0}
    graph = helper.make_graph(
        nodes, "graph", [value("numeric", TensorProto.FLOAT, [1])], [value("score", TensorProto.FLOAT, [1])],
        [helper.make_tensor(name, TensorProto.FLOAT, [1], [number]) for name, number in tensors.items()],
        value_info=[value(inner, TensorProto.FLOAT, [1])],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_what_is_named_anew_answers_as_before() -> None:
    first, second = branching(3), branching(8)
    assert first != second
    number_names(first)
    number_names(second)
    assert first == second
    onnx.checker.check_model(first, full_check=True)
    assert [each.name for each in first.graph.initializer] == ["program.weight", "val_0", "val_1"]
    names = [node.name for node in first.graph.node]
    assert names[0] == "Add_0" and len(set(names)) == 4
    session = onnxruntime.InferenceSession(first.SerializeToString())
    answers = [session.run(None, {"numeric": np.array([number], dtype=np.float32)})[0] for number in (1.0, -1.0)]
    assert [float(answer[0]) for answer in answers] == [2.5, 1.5]
