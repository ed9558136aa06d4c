"""One statement of a module: what it refers to, and a digest of what it says: no comment, docstring or layout."""

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mlops_platform.manifest import digest_bytes

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# Decorators that neither register what they decorate nor read its annotations.
_HARMLESS = {
    "property", "setter", "cached_property", "staticmethod", "classmethod", "abstractmethod", "override", "overload",
    "final", "cache", "lru_cache", "wraps", "total_ordering", "singledispatch", "contextmanager", "asynccontextmanager",
    "dataclass", "unique", "runtime_checkable",
}  # fmt: skip
# Calls that reach names which no reader of the source can know.
_UNKNOWABLE = {"globals", "locals", "vars", "eval", "exec", "__import__", "import_module"}


@dataclass(frozen=True)
class Import:
    """What an imported name stands for.

    Attributes:
        module: Absolute name of the module.
        name: What of it; None for the module itself, ``*`` for everything.
    """

    module: str
    name: str | None


@dataclass
class Facts:
    """What the syntax of one statement tells.

    Attributes:
        chains: Names that it takes from outside itself, each with the attributes asked of it: ``("near", "step")``.
        imports: What the names that it imports itself stand for.
        loads: Modules that it imports.
        unknowable: Whether it reaches names that cannot be told from its source.
        digest: Of what it says.
    """

    chains: set[tuple[str, ...]] = field(default_factory=set)
    imports: dict[str, list[Import]] = field(default_factory=dict)
    loads: set[str] = field(default_factory=set)
    unknowable: bool = False
    digest: str = ""


class Statement:
    """A statement at the top of a module.

    Attributes:
        node: Its syntax tree.
        names: What it binds.
        package: Package of its module, from which relative imports count.
    """

    def __init__(self, node: ast.stmt, names: Sequence[str], package: str) -> None:
        self.node, self.names, self.package = node, tuple(names), package

    @property
    def key(self) -> str:
        """The names it binds, or one name for all that bind none."""
        return ",".join(self.names) or "<module>"

    @cached_property
    def facts(self) -> Facts:
        """Found once; the tree is stripped by it."""
        reader = _Reader(self.package)
        reader.visit(self.node)
        _strip(self.node, inside_function=False)
        reader.facts.digest = digest_bytes(ast.dump(self.node).encode())
        return reader.facts


def plainly_decorated(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Whether no decorator does more with a function or class than return one like it."""
    called = [decorator.func if isinstance(decorator, ast.Call) else decorator for decorator in node.decorator_list]
    return all((f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "")) in _HARMLESS for f in called)


def imported(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, Import, str]]:
    """Each name that an import binds, what it stands for, and the module that is loaded for it."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            bound = alias.name if alias.asname else alias.name.partition(".")[0]
            yield alias.asname or bound, Import(bound, None), alias.name
        return
    parts = package.split(".")
    above = parts[: len(parts) - node.level + 1] if node.level else []
    origin = ".".join([*above, *([node.module] if node.module else [])])
    for alias in node.names:
        yield alias.asname or alias.name, Import(origin, alias.name), origin


class _Reader(ast.NodeVisitor):
    """Collects what a statement takes from outside itself, minding which names are local."""

    def __init__(self, package: str) -> None:
        self.facts, self.package = Facts(), package
        self._scopes: list[set[str]] = []

    def visit_Import(self, node: ast.Import) -> None:
        self._import(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._import(node)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for bound, target, loaded in imported(node, self.package):
            self.facts.imports.setdefault(bound, []).append(target)
            self.facts.loads.add(loaded)

    def visit_Name(self, node: ast.Name) -> None:
        self._chain(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        attributes: list[str] = []
        value: ast.expr = node
        while isinstance(value, ast.Attribute):
            attributes.append(value.attr)
            value = value.value
        if isinstance(value, ast.Name):
            self._chain(value.id, *reversed(attributes))
        else:
            self.visit(value)

    def _chain(self, root: str, *attributes: str) -> None:
        if not any(root in scope for scope in self._scopes):
            self.facts.chains.add((root, *attributes))

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in _UNKNOWABLE:
            self.facts.unknowable = True
        if called == "getattr" and len(node.args) > 1 and not isinstance(node.args[1], ast.Constant):
            owner = node.args[0]
            # A class counts whole, so what an object looks up on itself is there.
            self.facts.unknowable |= not (isinstance(owner, ast.Name) and owner.id in ("self", "cls"))
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        self._arguments(node.args)
        self._annotation(node.returns)
        self._inside(_parameters(node.args) | _bound(node.body), node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._arguments(node.args)
        self._inside(_parameters(node.args) | _bound([node.body]), [node.body])

    def _arguments(self, arguments: ast.arguments) -> None:
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                self.visit(default)
        for argument in _every_argument(arguments):
            self._annotation(argument.annotation)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.target)
        self._annotation(node.annotation)
        if node.value is not None:
            self.visit(node.value)

    def _annotation(self, annotation: ast.expr | None) -> None:
        """What an annotation names is followed: it is the class whose methods are called on the value."""
        if annotation is None:
            return
        for node in ast.walk(annotation):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.strip():
                try:
                    self.visit(ast.parse(node.value.strip(), mode="eval").body)
                except SyntaxError:
                    continue  # A text of Annotated or Literal, not a type.
        self.visit(annotation)

    def _visit_comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        targets = {name for inner in node.generators for name in _stored(inner.target)}
        self.visit(node.generators[0].iter)
        self._scopes.append(targets)
        self.generic_visit(node)
        self._scopes.pop()

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _visit_comprehension

    def _inside(self, names: set[str], body: Iterable[ast.AST]) -> None:
        self._scopes.append(names)
        for node in body:
            self.visit(node)
        self._scopes.pop()


def _every_argument(arguments: ast.arguments) -> list[ast.arg]:
    single = [found for found in (arguments.vararg, arguments.kwarg) if found is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *single]


def _parameters(arguments: ast.arguments) -> set[str]:
    return {argument.arg for argument in _every_argument(arguments)}


def _stored(node: ast.AST) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)}


def _bound(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that a function's body binds, those of inner functions and comprehensions left out."""
    found: set[str] = set()
    shared: set[str] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Global):
            shared |= set(node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
            continue
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            found.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            found.add(node.rest)
        elif isinstance(node, _COMPREHENSIONS):
            # Only ``:=`` reaches out of it.
            waiting += [inner.target for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr)]
            continue
        elif isinstance(node, ast.Lambda):
            continue
        waiting += ast.iter_child_nodes(node)
    return found - shared


def _strip(node: ast.AST, *, inside_function: bool) -> None:
    """Removes what does nothing: docstrings and other bare constants, and the annotations of functions.

    A class keeps the annotations of its fields, which dataclasses and validators read. So does a function under a
    decorator that may read them.
    """
    within = inside_function or isinstance(node, _FUNCTIONS)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (inside_function or plainly_decorated(node)):
        node.returns = None
        for argument in _every_argument(node.args):
            argument.annotation = None
    if isinstance(node, ast.AnnAssign) and inside_function:
        node.annotation = ast.Constant(None)
    for name, value in ast.iter_fields(node):
        if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
            kept = [s for s in value if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
            setattr(node, name, kept or [ast.Pass()])
    for child in ast.iter_child_nodes(node):
        _strip(child, inside_function=within if not isinstance(node, ast.ClassDef) else False)
