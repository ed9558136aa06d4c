"""``--compute NAME=VALUE,...``: where this one run trains, whatever the models declare."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mlops_platform.errors import PlatformError
from mlops_platform.spec import Compute, Project

_TRUTHS = {"true": True, "yes": True, "false": False, "no": False}
# Dagster binds a pool when assets are defined.
_NAMES = {field.name: field.type for field in dataclasses.fields(Compute) if field.name != "pool"}


def compute_overrides(text: str, project: Project) -> Mapping[str, Any]:
    """Reads the option: fields of ``spec.Compute``, of the types declared there.

    Args:
        text: Such as ``devices=2,launcher=torchrun``; empty for none.
        project: Whose models are to be trained.

    Raises:
        PlatformError: It is no list of pairs, names something else, or a value is of the wrong type.
        SpecError: A value is not valid, or does not go with what a model declares.
    """
    found: dict[str, Any] = {}
    for pair in filter(None, text.split(",")):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or name not in _NAMES:
            raise _wrong(f"--compute {pair!r}", f"NAME=VALUE of {', '.join(_NAMES)}")
        found[name] = _read(name, value, pair)
    for model in project.models:
        dataclasses.replace(model.compute, **found)
    return found


def _read(name: str, value: str, pair: str) -> Any:
    declared = _NAMES[name]
    try:
        if declared is bool:
            return _TRUTHS[value.lower()]
        if declared is int:
            return int(value)
        return float(value) if name == "price_per_device_hour" else value
    except (ValueError, KeyError) as error:
        kind = "true or false" if declared is bool else "a whole number" if declared is int else "a number"
        raise _wrong(f"--compute {pair!r}", f"{name} to be {kind}") from error


def _wrong(found: str, required: str) -> PlatformError:
    remedy = "write for example --compute devices=2,launcher=torchrun,threads=1"
    return PlatformError(required=required, found=found, remedy=remedy)
