"""The command line as tests call it: in this process, its output as text."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

PUMPS = "mlops_platform_tests.lineage.pumps.project:PROJECT"
COMMANDS = (
    "demo", "land", "materialize", "plan", "why", "why-ran", "status", "history", "rollback", "promote", "allow",
    "rehearse-rollback", "notifications", "tune", "rebuild", "gc", "graph", "doctor", "check-module", "dev",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What a call left: its exit code and both outputs."""

    code: int
    out: str
    err: str


@pytest.fixture
def mlops(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Calls ``mlops`` on the pumps project."""
    monkeypatch.setenv("MLOPS_PROJECT", PUMPS)

    def call(*arguments: str) -> Outcome:
        from mlops_platform.cli import main

        capfd.readouterr()
        code = 0
        try:
            main(arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Outcome(code, *capfd.readouterr())

    return call
