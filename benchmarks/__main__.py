"""Runs benchmarks, each as a whole process of its own, and prints what they cost and whether their claims held."""

import argparse
import ast
import subprocess
import sys
from pathlib import Path

from benchmarks.costs import run
from benchmarks.tables import machine, table

NAMES = (
    "load",
    "quality",
    "congestion",
    "stations",
    "landing",
    "noop",
    "arrival",
    "joins",
    "offline_stores",
    "bounded_memory",
    "online_store",
    "input_path",
    "saves",
    "why",
    "prediction_log",
    "serving",
)
_ROOT = Path(__file__).parents[1]


def claim(name: str) -> str:
    """The first line of a program's docstring, read without importing it."""
    text = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]


def main() -> int:
    """Exit code: 0 if every claim held, 1 if one did not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all of them by default")
    parser.add_argument("--list", action="store_true", help="only print the names and what each claims")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark named {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if arguments.list:
        print(table(("benchmark", "what it claims"), [(name, claim(name)) for name in NAMES]))
        return 0
    print(machine(), flush=True)
    rows, held = [], True
    for name in arguments.names or NAMES:
        print(f"\n## {name}\n", flush=True)
        cost = run([sys.executable, "-m", f"benchmarks.{name}"], cwd=_ROOT, stdout=None)
        held &= cost.code == 0
        rows.append((name, "held" if cost.code == 0 else f"MISSED (exit code {cost.code})", f"{cost.seconds:.1f}",
                     f"{cost.cpu:.1f}", f"{cost.peak_mib:,.0f}"))  # fmt: skip
    print("\n## all\n")
    print(table(("benchmark", "claims", "seconds", "CPU s", "peak MiB"), rows))
    return 0 if held else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, subprocess.SubprocessError) as stopped:
        sys.exit(f"stopped: {stopped}")
