"""mlops_platform: one lineage graph from raw rows to champion and back.

A team declares a model (``mlops_platform.spec``); ``build_definitions(project)`` turns the declaration into Dagster
assets, in flow order:

    raw tables -> feature tables -> dataset -> checkpoint -> evaluation -> gate -> champion -> predictions -> monitoring

| room | owns |
|---|---|
| ``sources`` | raw tables, the ingest ledger, quarantine |
| ``features`` | feature tables, Feast's registry and online store |
| ``datasets`` | immutable point-in-time datasets |
| ``training`` | checkpoints: weights, exported program, curves |
| ``evaluation`` | reports and gate verdicts |
| ``registry`` | model versions, aliases, promotion history |
| ``serving`` | the prediction log |
| ``monitoring`` | what becomes of the answers, as labels arrive |
| ``provenance`` | the walk behind ``why`` |

Below the rooms: ``resources`` (doors to the outside), ``point_in_time`` (the join engine and its Feast store),
``scoring`` (a trained model without torch), ``manifest`` (the values that pass between rooms), ``spec``, ``errors``.
Imports point down that list only. Names here are loaded when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops_platform.errors import PlatformError
    from mlops_platform.lineage import build_definitions
    from mlops_platform.spec import Project

__all__ = ["PlatformError", "Project", "build_definitions"]

_HOMES = {"PlatformError": "errors", "Project": "spec", "build_definitions": "lineage"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
