"""The laws of the house that a linter does not know."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "mlops_platform").rglob("*.py"))
SHELLS = {"assets.py", "checks.py", "sensors.py", "lineage.py", "definitions.py"}
ENGINES = (
    "torch",
    "lightning",
    "pytorch_lightning",
    "mlflow",
    "feast",
    "dagster_mlflow",
    "sklearn",
    "matplotlib",
    "onnxruntime",
    "polars",
    "numpy",
)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> list[tuple[str, int]]:
    """Each function of a file with its length in lines, the docstring left out."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documented = ast.get_docstring(node) is not None
            documentation = (node.body[0].end_lineno or 0) - node.body[0].lineno + 1 if documented else 0
            found.append((f"{relative(path)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1 - documentation))
    return found


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_files_are_small_and_named_for_their_work(path: Path) -> None:
    assert path.read_text().count("\n") <= 300
    assert path.stem not in {"utils", "util", "helpers", "common", "base", "manager", "misc"}


def test_functions_are_short() -> None:
    lengths = [entry for path in SOURCES for entry in functions(path)]
    assert [entry for entry in lengths if entry[1] > 60] == []
    assert sum(length <= 30 for _, length in lengths) >= 0.9 * len(lengths)


@pytest.mark.parametrize("path", [p for p in SOURCES if "cli" not in p.parts], ids=relative)
def test_dagster_is_a_shell(path: Path) -> None:
    tree = ast.parse(path.read_text())
    names = {
        alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    names |= {(node.module or "").partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    shell = path.name in SHELLS or "resources" in path.parts
    assert shell or "dagster" not in names
    if shell:
        assert "from __future__ import annotations" not in path.read_text()


def test_no_broad_except_swallows() -> None:
    guilty = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            broad = isinstance(node, ast.ExceptHandler) and (
                node.type is None or getattr(node.type, "id", "") in {"Exception", "BaseException"}
            )
            if broad and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
                guilty.append(f"{relative(path)}:{node.lineno}")
    assert guilty == []


def test_nothing_is_unpickled() -> None:
    forbidden = ("pickle.load", "dill.", "joblib.load", "weights_only=False")
    assert [(relative(p), word) for p in SOURCES for word in forbidden if word in p.read_text()] == []
    loads = [node for p in SOURCES for node in ast.walk(ast.parse(p.read_text())) if isinstance(node, ast.Call)
             and ast.unparse(node.func) == "torch.load"]  # fmt: skip
    assert all("weights_only=True" in [ast.unparse(keyword) for keyword in node.keywords] for node in loads)
    assert sum(p.read_text().count("torch.load") for p in SOURCES) == len(loads)


def loaded(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_loading_the_code_location_is_light() -> None:
    assert loaded("import mlops_platform.definitions").isdisjoint({*ENGINES, "pandas"})


def test_a_declaration_loads_no_engine() -> None:
    assert loaded("import mlops_platform.projects.flights.project").isdisjoint(
        {*ENGINES, "pandas", "polars", "dagster"}
    )


def test_the_face_has_at_most_fifteen_names() -> None:
    import mlops_platform

    assert len(mlops_platform.__all__) <= 15
    assert all(getattr(mlops_platform, name) is not None for name in mlops_platform.__all__)
    with pytest.raises(AttributeError, match="it has PlatformError"):
        _ = mlops_platform.nothing


def test_definitions_stay_short() -> None:
    assert (ROOT / "mlops_platform" / "definitions.py").read_text().count("\n") <= 60
