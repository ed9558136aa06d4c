"""Loading the code location costs at most 1.3 times the CPU time of ``import dagster``, and loads no engine.

Claim: ``import mlops_platform.definitions``, which every Dagster process pays, takes at most 1.3 times the CPU time
(user and system) of ``import dagster``, and leaves no torch, Lightning, MLflow, Feast, pandas or scikit-learn behind.
Peer: ``import dagster`` alone, the least that any code location costs.
Measured: fresh processes, one of each in turn after an unmeasured one of each (byte code and file cache are warm), CPU
time from ``wait4``, median of the repetitions. ``import dagster, polars`` stands beside them, for polars alone is what
most of the platform's functions need, and ``pass`` is the interpreter itself, which is part of all figures.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence

from benchmarks.costs import Cost, run
from benchmarks.homes import ROOT
from benchmarks.tables import table

LIMIT = 1.3
FORBIDDEN = ("torch", "lightning", "pytorch_lightning", "mlflow", "dagster_mlflow", "feast", "pandas", "sklearn",
             "matplotlib", "onnxruntime")  # fmt: skip
OURS, PEER = "import mlops_platform.definitions", "import dagster"
STATEMENTS = ("pass", PEER, OURS, "import dagster, polars")


def measure(repetitions: int) -> Mapping[str, Sequence[Cost]]:
    """The cost of each statement in fresh processes, in turn."""
    costs: dict[str, list[Cost]] = {statement: [] for statement in STATEMENTS}
    for repetition in range(repetitions + 1):
        for statement in STATEMENTS:
            cost = run([sys.executable, "-c", statement], cwd=ROOT)
            if cost.code:
                raise SystemExit(f"failed: {statement}")
            if repetition:
                costs[statement].append(cost)
    return costs


def loaded(names: Sequence[str]) -> list[str]:
    """Which of these modules the code location loads."""
    code = f"{OURS}\nimport sys\nprint(*sorted(set({list(names)!r}) & set(sys.modules)))"
    return run([sys.executable, "-c", code], cwd=ROOT).output.split()


def main() -> int:
    """Exit code 1 if the claim does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--repetitions", type=int, default=9, help="of each statement (default 9)")
    costs = measure(parser.parse_args().repetitions)
    medians = {statement: statistics.median(cost.cpu for cost in found) for statement, found in costs.items()}
    rows = [
        (f"`{statement}`", f"{medians[statement]:.2f}", f"{min(cost.cpu for cost in costs[statement]):.2f}",
         f"{medians[statement] / medians[PEER]:.2f}", f"{statistics.median(c.peak_mib for c in costs[statement]):.0f}")
        for statement in STATEMENTS
    ]  # fmt: skip
    print(table(("in a fresh process", "CPU s, median", "least", "ratio", "peak MiB"), rows))
    engines, light = loaded(FORBIDDEN), loaded(("polars", "numpy", "pyarrow", "deltalake"))
    ratio = medians[OURS] / medians[PEER]
    print(f"\nengines loaded: {', '.join(engines) or 'none'}; of the lighter ones: {', '.join(light) or 'none'}")
    held = ratio <= LIMIT and not engines
    print(f"claim (ratio at most {LIMIT}, no engine): {'held' if held else 'MISSED'}, ratio {ratio:.2f}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
