"""What differs between two recipes of a station, by name."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mlops_platform.manifest import Recipe, short
from mlops_platform.resources.artifacts import ArtifactStore

Part = Literal["code", "configuration", "software", "input"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One part of the key that is another.

    Attributes:
        part: Which of the four.
        name: Of the function, the setting, the distribution or the input.
        before, now: Digest, value or version; None where there is none.
    """

    part: Part
    name: str
    before: str | None
    now: str | None

    def __str__(self) -> str:
        if self.part == "code":
            said = "changed" if self.before and self.now else "reached now" if self.now else "no longer reached"
            return f"code of {self.name} {said}"
        before, now = (_told(value) for value in (self.before, self.now))
        return f"{self.part} {_told(self.name)}: {before} -> {now}"


def differences(
    store: ArtifactStore, before: Recipe, now: Recipe, parts: Mapping[str, str] | None = None
) -> list[Difference]:
    """Each difference between two recipes; none between equal ones.

    Args:
        store: Where the parts of code are kept.
        before, now: The recipes.
        parts: Of the code now, where it may not be kept yet.
    """
    found: list[Difference] = []
    if before.code != now.code or before.functions != now.functions:
        found += _code(store.code(before.code), parts or store.code(now.code), before, now)
    found += _compared("configuration", flat(before.config), flat(now.config))
    found += _compared("software", before.software, now.software)
    return [*found, *_compared("input", before.inputs, now.inputs)]


def _code(
    old: Mapping[str, str] | None, new: Mapping[str, str] | None, before: Recipe, now: Recipe
) -> list[Difference]:
    found = list(_compared("code", old, new)) if old is not None and new is not None else []
    name = ", ".join(now.functions) if before.code != now.code else "the list of functions"
    # An older home did not keep the parts; a reordered list of functions changes none.
    return found or [Difference(part="code", name=name, before=before.code, now=now.code)]


def _compared(part: Part, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield Difference(part=part, name=name, before=old.get(name), now=new.get(name))


def flat(value: Any, name: str = "") -> dict[str, str]:
    """The settings in a configuration, nested names joined by dots; a declaration told as text is taken apart."""
    if isinstance(value, str):
        value = _declared(value) or value
    if isinstance(value, Mapping):
        inner = {str(key): found for key, found in value.items()}
    elif isinstance(value, list | tuple):
        inner = {str(place): found for place, found in enumerate(value)}
    else:
        return {name: str(value)}
    told: dict[str, str] = {}
    for key, found in inner.items():
        told |= flat(found, f"{name}.{key}" if name else key)
    return told


def _declared(text: str) -> dict[str, Any] | None:
    """The fields of ``Split(holdout='10d')``; None where a text is no such thing."""
    if not text.endswith(")"):
        return None
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError:
        return None
    if not isinstance(tree, ast.Call) or tree.args:
        return None
    return {word.arg or "**": ast.unparse(word.value) for word in tree.keywords}


def _told(value: str | None) -> str:
    if value is None:
        return "none"
    return short(value) if value.startswith("sha256:") else value
