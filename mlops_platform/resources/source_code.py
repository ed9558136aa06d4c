"""The door to source code: which of it decides what a station does, found in the syntax tree, never by importing.

The closure of a function is the module that holds it and every module of the project's own packages that this one
imports, directly or not. Comments, docstrings and layout do not count. Other distributions count by their version.
"""

import ast
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mlops_platform.manifest import digest_bytes, digest_of

_PLATFORM = "mlops_platform"
_DISTRIBUTIONS = {
    "sklearn": "scikit-learn",
    "pytorch_lightning": "pytorch-lightning",
    "yaml": "PyYAML",
    "PIL": "pillow",
}


@dataclass(frozen=True)
class SourceClosure:
    """The source behind a station.

    Attributes:
        modules: Digest of each module's syntax, by name.
        distributions: Version of each distribution that those modules import.
    """

    modules: dict[str, str]
    distributions: dict[str, str]

    @property
    def digest(self) -> str:
        """Digest of the modules together."""
        return digest_of(self.modules)


def closure(*references: str) -> SourceClosure:
    """The source closure of functions named ``package.module:name``."""
    waiting = [reference.partition(":")[0] for reference in references]
    own = frozenset({_PLATFORM} | {module.partition(".")[0] for module in waiting})
    modules: dict[str, str] = {}
    foreign: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in modules:
            continue
        path = _source(name)
        if path is None:
            continue
        digest, imports = _read(path, path.stat().st_mtime_ns, name)
        modules[name] = digest
        waiting += [found for found in imports if found.partition(".")[0] in own]
        # Importing a module runs the packages above it.
        waiting += [name.rpartition(".")[0]] if "." in name else []
        foreign |= {found.partition(".")[0] for found in imports} - own - set(sys.stdlib_module_names)
    versions = {name: version for name in sorted(foreign) if (version := _version(name)) is not None}
    return SourceClosure(dict(sorted(modules.items())), versions)


def _source(module: str) -> Path | None:
    root, *parts = module.split(".")
    spec = importlib.util.find_spec(root)
    if spec is None:
        return None
    if not parts and spec.origin is not None:
        return Path(spec.origin)
    # A namespace package has several folders and no __init__.py.
    for folder in spec.submodule_search_locations or ():
        base = Path(folder).joinpath(*parts)
        for candidate in (base / "__init__.py", base.with_suffix(".py")):
            if candidate.is_file():
                return candidate
    return None


@cache
def _read(path: Path, _modified: int, module: str) -> tuple[str, tuple[str, ...]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    imports = tuple(sorted(set(_imports(tree, package))))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            body[0] = ast.Pass()
    return digest_bytes(ast.dump(tree).encode()), imports


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield origin
            # ``from package import name`` may name a module of the package.
            yield from (f"{origin}.{alias.name}" for alias in node.names)


@cache
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(_DISTRIBUTIONS.get(package, package))
    except importlib.metadata.PackageNotFoundError:
        owners = importlib.metadata.packages_distributions().get(package)
        return importlib.metadata.version(owners[0]) if owners else None


def resolve(reference: str) -> Any:
    """Imports what a reference ``package.module:name`` names."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


@cache
def git_revision(folder: Path) -> str | None:
    """Commit of the working tree around a folder, ``-dirty`` where it differs; None outside a repository."""
    import subprocess

    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None
