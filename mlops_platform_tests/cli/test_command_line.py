"""The shell around the commands: help, errors, exit codes, options."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_platform_tests.cli.conftest import COMMANDS, Outcome

_HELP = """
import contextlib, io, json, sys
from mlops_platform.cli import main
told = {}
for command in sys.argv[1].split():
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([*([command] if command != "-" else []), "--help"])
    told[command] = out.getvalue()
heavy = ["dagster", "torch", "mlflow", "feast", "pandas", "polars", "deltalake", "numpy"]
print(json.dumps({"told": told, "heavy": [name for name in heavy if name in sys.modules]}))
"""


def _python(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=False,
                          env={**os.environ, **environment})  # fmt: skip


def test_every_help_has_an_example_and_imports_nothing_heavy() -> None:
    found = json.loads(_python("-c", _HELP, " ".join(["-", *COMMANDS])).stdout)
    assert found["heavy"] == []
    for command in COMMANDS:
        assert f"Example: mlops {command}" in found["told"][command]
        assert command in found["told"]["-"]


def test_history_and_landing_need_no_dagster(tmp_path: Path) -> None:
    program = """
import sys
from mlops_platform.cli import main
for arguments in (["land", "pumps", "--through", "2024-03"], ["history", "pump_repair"]):
    try:
        main(arguments)
    except SystemExit as ended:
        assert not ended.code, ended.code
print([name for name in ("dagster", "torch", "mlflow", "feast", "pandas") if name in sys.modules])
"""
    project = "mlops_platform_tests.lineage.pumps.project:PROJECT"
    ended = _python("-c", program, MLOPS_HOME=str(tmp_path / "h"), MLOPS_PROJECT=project)
    assert ended.stdout.splitlines()[-1] == "[]", ended.stderr


def test_a_mistake_is_three_lines_on_standard_error_and_exit_code_2(mlops: Callable[..., Outcome]) -> None:
    ended = mlops("history", "no_such_model")
    assert (ended.code, ended.out) == (2, "")
    assert [line.partition(":")[0] for line in ended.err.splitlines()] == ["Required", "Found", "Remedy"]
    assert "pump_repair" in ended.err


@pytest.mark.parametrize(
    "reference", ["nowhere.at_all:PROJECT", "mlops_platform.errors:PROJECT", "json:dumps", "json", ":PROJECT"]
)
def test_a_project_that_is_none_is_a_mistake(
    mlops: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    monkeypatch.setenv("MLOPS_PROJECT", reference)
    ended = mlops("status")
    assert ended.code == 2
    assert repr(reference) in ended.err


def test_an_error_in_the_projects_own_code_keeps_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text("import not_installed_anywhere\nPROJECT = None\n")
    ended = _python("-m", "mlops_platform.cli", "status", MLOPS_PROJECT="faulty:PROJECT",
                    PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path]))  # fmt: skip
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert "not_installed_anywhere" in ended.stderr


def test_an_unknown_environment_is_a_mistake(mlops: Callable[..., Outcome]) -> None:
    ended = mlops("--env", "production", "status")
    assert ended.code == 2
    assert "dev, staging, prod" in ended.err


def test_home_and_environment_are_options(mlops: Callable[..., Outcome], tmp_path: Path) -> None:
    found = json.loads(mlops("--home", str(tmp_path / "elsewhere"), "--env", "staging", "status", "--json").out)
    assert (found["home"], found["environment"]) == (str(tmp_path / "elsewhere"), "staging")
    assert {station["state"] for station in found["stations"]} <= {"never made", "nothing to make"}


def test_reading_a_home_does_not_make_it(mlops: Callable[..., Outcome], tmp_path: Path) -> None:
    for arguments in (("status",), ("history", "pump_repair"), ("doctor",)):
        mlops("--home", str(tmp_path / "untouched"), *arguments)
    assert mlops("--home", str(tmp_path / "untouched"), "why", "latest").code == 2
    assert not (tmp_path / "untouched").exists()
