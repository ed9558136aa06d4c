"""The benchmark programs say what they do and can be asked; nothing is timed here."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES, claim
from benchmarks.tables import table

ROOT = Path(__file__).parents[2]


def asked(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, cwd=ROOT)


def test_the_list_names_each_benchmark_and_its_claim() -> None:
    done = asked("benchmarks", "--list")
    assert done.returncode == 0, done.stderr
    assert all(f"| {name} " in done.stdout and claim(name) in done.stdout for name in NAMES)


def test_an_unknown_name_is_refused() -> None:
    done = asked("benchmarks", "nothing")
    assert done.returncode == 2
    assert "no benchmark named nothing; there are load" in done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_each_says_what_is_claimed_against_whom_and_how(name: str) -> None:
    text = ast.get_docstring(ast.parse((ROOT / "benchmarks" / f"{name}.py").read_text(encoding="utf-8"))) or ""
    assert "\nClaim: " in text
    assert "\nMeasured: " in text
    assert "peer" in text.lower()


@pytest.mark.parametrize("name", NAMES)
def test_each_has_help(name: str) -> None:
    done = asked(f"benchmarks.{name}", "--help")
    assert done.returncode == 0, done.stderr
    assert "Claim: " in done.stdout


def test_a_table_sets_figures_flush_right() -> None:
    assert table(("name", "s"), [("a", "1.5"), ("bc", "10.25")]).splitlines() == [
        "| name |     s |",
        "| ---- | ----: |",
        "| a    |   1.5 |",
        "| bc   | 10.25 |",
    ]
