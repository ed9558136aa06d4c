"""A module as its syntax tells it: the names it binds, what it imports, and what it does when it is loaded."""

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlops_platform.resources.syntax import Import, Statement, imported, plainly_decorated

_PLAIN_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
Stamp = tuple[int, int]


@dataclass
class Module:
    """One parsed module.

    Attributes:
        name: Absolute.
        statements: Those at its top, by key, in order.
        keys: Keys of the statements that bind a name.
        effects: Keys of statements that do something beside binding names, and so count as soon as it is loaded.
        imports: What the names that it imports stand for.
        loads: Modules that it imports when it is loaded.
        stars: Modules of which it imports everything.
    """

    name: str
    statements: dict[str, list[Statement]] = field(default_factory=dict)
    keys: dict[str, list[str]] = field(default_factory=dict)
    effects: list[str] = field(default_factory=list)
    imports: dict[str, list[Import]] = field(default_factory=dict)
    loads: list[str] = field(default_factory=list)
    stars: list[str] = field(default_factory=list)

    def binds(self, name: str) -> bool:
        """Whether loading it binds a name, as far as its text tells."""
        return name in self.keys or name in self.imports


_read: dict[Path, tuple[Stamp, Module]] = {}


def stamp(path: Path) -> Stamp | None:
    """What changes when a file is written; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def read_module(name: str, path: Path) -> Module:
    """Parses a file, once for each version of it."""
    now = stamp(path)
    held = _read.get(path)
    if held is not None and held[0] == now and held[1].name == name:
        return held[1]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    module = Module(name)
    _fill(module, ast.parse(path.read_bytes(), filename=str(path)).body, package)
    if now is not None:
        _read[path] = now, module
    return module


def roots(root: str) -> tuple[Path | None, tuple[Path, ...]]:
    """File and folders of a package at the top; a namespace package has several folders and no file."""
    spec = importlib.util.find_spec(root)
    if spec is None:
        return None, ()
    origin = Path(spec.origin) if spec.origin and spec.has_location else None
    return origin, tuple(Path(folder) for folder in spec.submodule_search_locations or ())


def candidates(name: str, root: tuple[Path | None, tuple[Path, ...]]) -> Iterator[Path]:
    """Where a module can lie, the first that exists being it."""
    origin, folders = root
    parts = name.split(".")[1:]
    if not parts:
        if origin is not None:
            yield origin
        return
    for folder in folders:
        base = folder.joinpath(*parts)
        yield base / "__init__.py"
        yield base.with_name(f"{base.name}.py")


def _fill(module: Module, body: list[ast.stmt], package: str) -> None:
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            _take_import(module, node, package, loaded=True)
        elif isinstance(node, ast.If) and (fixed := _never_run(node.test)):
            # What only type checkers import is what annotations name.
            for inner in ast.walk(node) if fixed == "TYPE_CHECKING" else ():
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    _take_import(module, inner, package, loaded=False)
            _fill(module, node.orelse, package)
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            _take_statement(module, node, package)


def _never_run(test: ast.expr) -> str:
    if isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__":
        return "__main__"
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name if name == "TYPE_CHECKING" else ""


def _take_import(module: Module, node: ast.Import | ast.ImportFrom, package: str, *, loaded: bool) -> None:
    for bound, target, origin in imported(node, package):
        if target.name == "*":
            module.stars.append(target.module)
        else:
            module.imports.setdefault(bound, []).append(target)
            if loaded and target.name is not None:
                # ``from package import name`` may name a module of the package.
                module.loads.append(f"{origin}.{target.name}")
        if loaded:
            module.loads.append(origin)


def _take_statement(module: Module, node: ast.stmt, package: str) -> None:
    names, plain = _names(node)
    statement = Statement(node, names, package)
    module.statements.setdefault(statement.key, []).append(statement)
    for name in names:
        module.keys.setdefault(name, [])
        if statement.key not in module.keys[name]:
            module.keys[name].append(statement.key)
    if not plain and statement.key not in module.effects:
        module.effects.append(statement.key)
    if not isinstance(node, _PLAIN_DEFINITIONS):
        for inner in ast.walk(node):
            if isinstance(inner, ast.Import | ast.ImportFrom):
                _take_import(module, inner, package, loaded=True)


def _names(node: ast.stmt) -> tuple[list[str], bool]:
    """What a statement binds, and whether it does nothing else that others can see."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        registered = isinstance(node, ast.ClassDef) and bool(node.keywords)
        return [node.name], plainly_decorated(node) and not registered
    flat = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    while any(isinstance(target, ast.Tuple | ast.List) for target in flat):
        flat = [e for target in flat for e in (target.elts if isinstance(target, ast.Tuple | ast.List) else [target])]
    if flat and all(isinstance(target, ast.Name) for target in flat):
        return [target.id for target in flat if isinstance(target, ast.Name)], True
    stored = (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    return list(dict.fromkeys(stored)), False
