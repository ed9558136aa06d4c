"""What the checks of a declared module found, as JSON beside the weights; without torch, for those who only read it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mlops_platform.errors import TrainingError

SOUNDNESS = "soundness.json"
CHECK = "module_is_sound"


@dataclass(frozen=True, kw_only=True)
class ModuleFinding:
    """One check of a module.

    Attributes:
        name: Of the check.
        passed: Its verdict.
        required: What a sound module does.
        found: What this one did.
        remedy: What to do about it; empty where it passed.
    """

    name: str
    passed: bool
    required: str
    found: str
    remedy: str = ""


def soundness_json(findings: Sequence[ModuleFinding]) -> list[dict[str, Any]]:
    """What ``soundness.json`` holds."""
    return [asdict(finding) for finding in findings]


def read_soundness(data: bytes) -> tuple[ModuleFinding, ...]:
    """Reads ``soundness.json``."""
    return tuple(ModuleFinding(**raw) for raw in json.loads(data))


def require_sound(module: str, findings: Sequence[ModuleFinding]) -> None:
    """Refuses a module at its first failed check.

    Args:
        module: Reference to it, for the message.
        findings: What its checks found.

    Raises:
        TrainingError: One of them failed.
    """
    for finding in findings:
        if not finding.passed:
            raise TrainingError(
                required=f"{module}: {finding.required}", found=finding.found, remedy=finding.remedy, check=CHECK
            )
