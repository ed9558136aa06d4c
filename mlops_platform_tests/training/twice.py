"""A program by itself: it exports one network of sequences twice and prints the digests of both forms of each."""

import hashlib
from types import SimpleNamespace
from typing import Any

import torch

from mlops_platform.training.program.export import export
from mlops_platform.training.program.network import Normaliser, ScoringProgram
from mlops_platform.training.program.stepping import OneStep
from mlops_platform_tests.training.recurrences import Gated


def main() -> None:
    """Exports, twice."""
    rows: Any = SimpleNamespace(numeric=torch.zeros(2, 1), categories=torch.zeros(2, 1, dtype=torch.int64))
    for _ in range(2):
        torch.manual_seed(0)
        network = Gated(numeric=2, cardinalities=(3,))
        program = OneStep(ScoringProgram(Normaliser(torch.zeros(1), torch.ones(1)), network).eval())
        made = export(program, rows, "recurrences:Gated")
        print(hashlib.sha256(made.onnx).hexdigest(), hashlib.sha256(made.archive).hexdigest())


if __name__ == "__main__":
    main()
