"""A station's recipe knows the code it runs: the room's functions that its work calls are in the closure it names."""

import ast
from pathlib import Path

import pytest

from mlops_platform.resources.source_code import closure

ROOT = Path(__file__).parents[2]
SHELLS = sorted((ROOT / "mlops_platform").rglob("*/assets.py"))
# What they decide is in the configuration, only in the log, only in what the landing sensor remembers, or only in what
# was measured.
_TOLD_OTHERWISE = {"metric_table", "read_now", "refusal", "until_finished", "measured", "job_of", "live_said"}


def strings(tree: ast.AST) -> set[str]:
    """References in a shell."""
    found = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return {text for text in found if text.startswith("mlops_platform.") and text.partition(":")[2].isidentifier()}


def called(tree: ast.Module, room: str) -> set[str]:
    """The room's functions that ``work``, or a function of the shell that it calls, names."""
    imports = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"mlops_platform.{room}.")
        for alias in node.names
    }
    functions = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    lambdas = [k.value for n in ast.walk(tree) if isinstance(n, ast.Call) for k in n.keywords if k.arg == "work"]
    waiting: list[ast.AST] = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "work"]
    waiting += lambdas
    names: set[str] = set()
    while waiting:
        found = {inner.id for inner in ast.walk(waiting.pop()) if isinstance(inner, ast.Name)} - names
        names |= found
        waiting += [functions[name] for name in found if name in functions]
    return {imports[name] for name in names if name in imports and name.islower()} - {
        reference for reference in imports.values() if reference.partition(":")[2] in _TOLD_OTHERWISE
    }


@pytest.mark.parametrize("shell", SHELLS, ids=lambda path: path.parent.name)
def test_what_the_work_calls_is_in_the_code_it_names(shell: Path) -> None:
    tree = ast.parse(shell.read_text())
    room = shell.relative_to(ROOT / "mlops_platform").parts[0]
    own = {r for r in strings(tree) if (ROOT / f"{r.partition(':')[0].replace('.', '/')}.py").is_file()}
    parts = {part for reference in own for part in closure(reference).parts}
    missing = {reference for reference in called(tree, room) if reference not in parts}
    assert missing == set(), f"name them in the station's code=(...): {sorted(missing)}"
