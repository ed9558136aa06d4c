"""The door to source code: which of it decides what a station does, found in the syntax tree, never by importing.

The closure of a function is every function, class and constant of the project's own packages that it refers to,
directly or through others, across modules. Comments, docstrings, layout and the text of annotations do not count; nor
does what nothing refers to. What it refers to in other distributions counts by their versions.

Where names do not tell, more counts rather than less:

- A class counts whole, its bases too. What an annotation names is followed, since its methods are called on the value.
- What a module does when it is loaded, beside binding names, counts with all that loads it: calls, loops, ``try``, and
  definitions under a decorator that may register them, or with keywords of a class.
- A module counts whole where code that counts uses ``globals()``, ``eval``, ``import_module`` and the like, or
  ``getattr`` with a computed name; where it is handed on as a value; where a name cannot be found in it, or may come
  from ``import *`` or a module's own ``__getattr__``.

Not seen: registration by mere subclassing (``__init_subclass__``), side effects of calls whose result is assigned to a
name that nothing refers to, and functions named in strings, which a station lists among its references.
"""

import importlib.metadata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mlops_platform.manifest import digest_of
from mlops_platform.resources.reach import Reach, Seen
from mlops_platform.resources.references import resolve

__all__ = ["SourceClosure", "closure", "git_revision", "resolve"]

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
        parts: Digest of each function, class and constant in it, by ``package.module:name``; what a module does when it
            is loaded is ``package.module:<module>``.
        distributions: Version of each distribution that these refer to.
    """

    parts: dict[str, str]
    distributions: dict[str, str]

    @property
    def digest(self) -> str:
        """Digest of the parts together."""
        return digest_of(self.parts)


_found: dict[tuple[str, ...], tuple[Seen, SourceClosure]] = {}


def closure(*references: str) -> SourceClosure:
    """The source closure of functions named ``package.module:name``; found again at once while no file changed."""
    held = _found.get(references)
    if held is not None and held[0].holds():
        return held[1]
    own = frozenset({_PLATFORM} | {reference.partition(":")[0].partition(".")[0] for reference in references})
    reach = Reach(own)
    for reference in references:
        module, _, name = reference.partition(":")
        reach.refer(module, name)
    parts, foreign = reach.finish()
    versions = {name: version for name in sorted(foreign) if (version := _version(name)) is not None}
    found = SourceClosure(dict(sorted(parts.items())), versions)
    _found[references] = reach.seen, found
    return found


@cache
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(_DISTRIBUTIONS.get(package, package))
    except importlib.metadata.PackageNotFoundError:
        owners = importlib.metadata.packages_distributions().get(package)
        return importlib.metadata.version(owners[0]) if owners else None


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
