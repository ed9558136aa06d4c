"""Whether a station's work is needed: its recipe now, the artifact that recipe gave before, and why that may not do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlops_platform.manifest import Recipe
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.source_code import closure


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What a station finds before it works.

    Attributes:
        recipe: By which it would work now.
        parts: Digest of each function, class and constant in the recipe's code.
        found: The artifact to take; None where the work has to be done.
        because: Why an artifact of this very recipe cannot be taken.
    """

    recipe: Recipe
    parts: Mapping[str, str]
    found: Artifact | None
    because: str | None = None


def recipe_of(station: str, *, code: tuple[str, ...], config: Mapping[str, Any], inputs: Mapping[str, str],
              software: Mapping[str, str] | None = None) -> tuple[Recipe, Mapping[str, str]]:  # fmt: skip
    """A station's recipe as it is now, and the digest of each part of its code."""
    source = closure(*code)
    recipe = Recipe(
        station=station, functions=code, code=source.digest, config=dict(config),
        software={**source.distributions, **(software or {})}, inputs=dict(inputs),
    )  # fmt: skip
    return recipe, source.parts


def look(refs: Refs, station: str, *, code: tuple[str, ...], config: Mapping[str, Any], inputs: Mapping[str, str],
         software: Mapping[str, str] | None = None, redo: bool | str = False,
         outside: bool = False) -> Looked:  # fmt: skip
    """Puts a station's recipe together and looks for its artifact; writes nothing.

    Args:
        refs: Of the home.
        station: Asset key, joined by slashes.
        code, config, inputs, software, redo, outside: As of ``Stations.make``.
    """
    recipe, parts = recipe_of(station, code=code, config=config, inputs=inputs, software=software)
    found, because = refs.store.find(recipe.key), None
    if found is None and refs.store.recipe(recipe.key) is not None:
        because = "what this recipe gave before is no longer whole in the store"
    if found is not None and redo:
        because = redo if isinstance(redo, str) else "what it left outside the store is gone or differs"
    elif found is not None and outside:
        last = refs.find(station)
        if last is None or last.manifest.digest != found.manifest.digest:
            because = "what lies outside the store now is of another making"
    return Looked(recipe=recipe, parts=parts, found=None if because else found, because=because)
