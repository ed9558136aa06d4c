"""What code reaches from a function, name by name, across the modules of its own packages."""

import builtins
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlops_platform.manifest import digest_of
from mlops_platform.resources.modules import Module, Stamp, candidates, read_module, roots, stamp
from mlops_platform.resources.syntax import Import, Statement

_EVERYWHERE = {*dir(builtins), "__name__", "__file__", "__doc__", "__spec__", "__package__", "__path__", "__class__"}


@dataclass
class Seen:
    """What was looked at, so that a later question can tell whether the answer still holds.

    Attributes:
        roots: Where each package at the top lies.
        files: Stamp of each file; None where there was none.
    """

    roots: dict[str, tuple[Path | None, tuple[Path, ...]]] = field(default_factory=dict)
    files: dict[Path, Stamp | None] = field(default_factory=dict)

    def holds(self) -> bool:
        """Whether every file is as it was."""
        return all(roots(root) == found for root, found in self.roots.items()) and all(
            stamp(path) == found for path, found in self.files.items()
        )


class Reach:
    """A walk from references to all that they reach.

    Attributes:
        own: Packages at the top whose source counts.
        seen: What the walk looked at.
    """

    def __init__(self, own: frozenset[str]) -> None:
        self.own, self.seen = own, Seen()
        self._modules: dict[str, Module | None] = {}
        self._loaded: set[str] = set()
        self._whole: set[str] = set()
        self._foreign: set[str] = set()
        self._parts: dict[str, str] = {}
        self._waiting: list[tuple[Module, Statement]] = []

    def finish(self) -> tuple[dict[str, str], set[str]]:
        """Digests of what was reached by ``module:name``, and the foreign packages that it refers to."""
        while self._waiting:
            module, statement = self._waiting.pop()
            self._follow(module, statement)
        return self._parts, self._foreign - set(sys.stdlib_module_names)

    def refer(self, module: str, name: str) -> None:
        """Counts a name of a module; what is unknown counts as the whole module."""
        self._attribute(module, (name,) if name else ())

    def _follow(self, module: Module, statement: Statement) -> None:
        facts = statement.facts
        for loaded in facts.loads:
            self._load(loaded)
        for targets in facts.imports.values():
            self._foreign |= {t.module.partition(".")[0] for t in targets if not self._is_own(t.module)}
            for star in (t for t in targets if t.name == "*"):
                self._count_whole(star.module)
        if facts.unknowable:
            self._count_whole(module.name)
        for root, *attributes in facts.chains:
            if root in facts.imports:
                for target in facts.imports[root]:
                    self._import(target, attributes)
            else:
                self._global(module, root, attributes)

    def _global(self, module: Module, root: str, attributes: Sequence[str]) -> None:
        for key in module.keys.get(root, ()):
            self._count(module, key)
        for target in module.imports.get(root, ()):
            self._import(target, attributes)
        if not module.binds(root) and module.stars and root not in _EVERYWHERE:
            self._count_whole(module.name)

    def _import(self, target: Import, attributes: Sequence[str]) -> None:
        """Counts what an imported name stands for, as far as it is own, and the attributes asked of it."""
        if target.name == "*":
            return
        self._attribute(target.module, (target.name, *attributes) if target.name else tuple(attributes))

    def _attribute(self, name: str, attributes: tuple[str, ...]) -> None:
        """Counts ``name.attribute``, the name being a module's."""
        if not self._is_own(name):
            self._foreign.add(name.partition(".")[0])
            return
        self._load(name)
        module = self._module(name)
        if not attributes:
            self._count_whole(name)
            return
        first, *rest = attributes
        if module is not None and module.binds(first):
            self._global(module, first, rest)
        elif self._module(f"{name}.{first}") is not None:
            self._attribute(f"{name}.{first}", tuple(rest))
        elif not (first.startswith("__") and first in _EVERYWHERE):
            self._count_whole(name)

    def _count(self, module: Module, key: str) -> None:
        part = f"{module.name}:{key}"
        if part in self._parts:
            return
        statements = module.statements[key]
        self._parts[part] = digest_of([statement.facts.digest for statement in statements])
        self._waiting += [(module, statement) for statement in statements]

    def _count_whole(self, name: str) -> None:
        if name in self._whole:
            return
        self._whole.add(name)
        module = self._module(name)
        if module is None:
            if not self._is_own(name):
                self._foreign.add(name.partition(".")[0])
            return
        self._load(name)
        for key in module.statements:
            self._count(module, key)
        for star in module.stars:
            self._count_whole(star)

    def _load(self, name: str) -> None:
        """Loading a module loads the packages above it and what it imports, and does what it does."""
        waiting = [name]
        while waiting:
            loaded = waiting.pop()
            if loaded in self._loaded or not self._is_own(loaded):
                continue
            self._loaded.add(loaded)
            if "." in loaded:
                waiting.append(loaded.rpartition(".")[0])
            module = self._module(loaded)
            if module is not None:
                for key in module.effects:
                    self._count(module, key)
                waiting += module.loads

    def _is_own(self, name: str) -> bool:
        return name.partition(".")[0] in self.own

    def _module(self, name: str) -> Module | None:
        if name not in self._modules:
            self._modules[name] = self._find(name) if self._is_own(name) else None
        return self._modules[name]

    def _find(self, name: str) -> Module | None:
        root = name.partition(".")[0]
        if root not in self.seen.roots:
            self.seen.roots[root] = roots(root)
        for path in candidates(name, self.seen.roots[root]):
            self.seen.files[path] = stamp(path)
            if self.seen.files[path] is not None:
                return read_module(name, path)
        return None
