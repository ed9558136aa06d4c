"""How a declared field is checked: every refusal names the field, its value and the remedy."""

import importlib.util
import re
from datetime import timedelta
from pathlib import Path

from mlops_platform.errors import SpecError

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_DURATION = re.compile(r"(\d+)(mo|d|h|m|s)")
_UNITS = {
    "s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1),
    "mo": timedelta(days=31),
}  # fmt: skip


def require(ok: bool, name: str, value: object, required: str, remedy: str) -> None:
    """Raises SpecError unless ``ok``."""
    if not ok:
        raise SpecError(name, value, required=required, remedy=remedy)


def require_name(name: str, value: str) -> None:
    """Refuses what cannot stand in an asset key, a folder and a Feast object alike."""
    require(
        isinstance(value, str) and _NAME.fullmatch(value) is not None,
        name,
        value,
        "a name of lower-case letters, digits and underscores that begins with a letter",
        "rename it, for example flight_delay",
    )


def duration(text: str, *, name: str = "duration") -> timedelta:
    """Reads ``30s``, ``90m``, ``24h``, ``14d`` or ``1mo`` (at most 31 days) as a span of time.

    Raises:
        SpecError: The text is no such duration, or is zero.
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    remedy = 'write a whole number and a unit: "30s", "90m", "24h", "14d" or "1mo"'
    require(match is not None, name, text, "a duration", remedy)
    assert match is not None
    require(int(match[1]) > 0, name, text, "a duration longer than zero", remedy)
    return int(match[1]) * _UNITS[match[2]]


def require_reference(name: str, value: str) -> None:
    """Refuses a reference whose module or definition is not there, found without importing it."""
    module, _, attribute = value.partition(":")
    remedy = 'write "package.module:name", for example "my_project.features:origin_delays"'
    require(bool(module and attribute), name, value, "a reference package.module:name", remedy)
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    require(found is not None and found.origin is not None, name, value, f"an importable module {module}", remedy)
    assert found is not None and found.origin is not None
    source = Path(found.origin).read_text(encoding="utf-8")
    defined = re.search(rf"^(?:def|class) {re.escape(attribute)}\b", source, re.MULTILINE)
    require(defined is not None, name, value, f"a def or class {attribute} in {found.origin}", "correct the name")
