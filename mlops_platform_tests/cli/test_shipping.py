"""The process that ships answers beside ``mlops serve``: it goes on after a kill, and ships the rest at the end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from mlops_platform.cli import waiting
from mlops_platform.cli.waiting import show_undeclared, show_waiting, undeclared_journals, waiting_answers
from mlops_platform.provenance.logged import logged
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.prediction_log.shipping import ship
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT
from mlops_platform_tests.serving.answering import asked, log_of

ROOT = Path(__file__).parents[2]


def in_log(home: Home) -> list[str]:
    log = DeltaDoor(home.prediction_log("pumps", "pump_repair"))
    return sorted(log.scan().collect()["prediction_id"]) if log.exists else []


def until(told: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not told():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def one_request(home: Home) -> list[str]:
    log = log_of(home)
    ids = asked(log, 2)
    log.close()
    return ids


def parent_of(home: Home) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops_platform_tests.cli.shipping_parent", str(home.path)], cwd=ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "POLARS_MAX_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def test_it_ships_goes_on_after_a_kill_and_ships_the_rest_at_the_end(home: Home) -> None:
    parent = parent_of(home)
    sent = one_request(home)
    until(lambda: in_log(home) == sent)
    (keeper,) = psutil.Process(parent.pid).children()
    (shipper,) = keeper.children()
    shipper.kill()
    keeper.send_signal(signal.SIGINT)
    sent += one_request(home)
    until(lambda: in_log(home) == sorted(sent))
    sent += one_request(home)
    parent.communicate("end\n", timeout=60)
    assert parent.returncode == 0 and in_log(home) == sorted(sent) and not keeper.is_running()


def test_when_the_parent_is_killed_it_ships_the_rest_and_ends(home: Home) -> None:
    parent = parent_of(home)
    (keeper,) = psutil.Process(parent.pid).children()
    sent = one_request(home)
    parent.kill()
    parent.communicate(timeout=60)
    until(lambda: not keeper.is_running() or keeper.status() == psutil.STATUS_ZOMBIE)
    assert in_log(home) == sent


def test_an_answer_is_found_by_its_id_in_journal_and_log(home: Home) -> None:
    log = log_of(home)
    first, _ = asked(log, 2)
    model, row = logged(home, PROJECT, first)
    assert model == MODEL and json.loads(row["inputs"]) == {"pump": "P0", "weekday": 5}
    log.close()
    ship(home, PROJECT, MODEL)
    assert {name: value for name, value in logged(home, PROJECT, first)[1].items() if name in row} == row


def test_status_tells_answers_that_wait_for_long(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert waiting_answers(PROJECT, home) == {}
    one_request(home)
    found = waiting_answers(PROJECT, home)
    assert found["pump_repair"]["answers"] == 2 and found["pump_repair"]["damaged"] == []
    assert datetime.now(UTC) - datetime.fromisoformat(found["pump_repair"]["since"]) < timedelta(minutes=1)
    shown = Console(record=True, width=200)
    show_waiting(shown, found)
    assert shown.export_text() == "", "what will be shipped soon is no news"
    monkeypatch.setattr(waiting, "_SOON", timedelta(0))
    show_waiting(shown, {"pump_repair": {**found["pump_repair"], "damaged": ["x.journal"]}})
    told = shown.export_text()
    assert "2 live answers since" in told and "mlops serve pump_repair ships them" in told and "x.journal" in told


def test_status_tells_journals_of_a_model_that_is_not_declared_any_more(home: Home) -> None:
    assert undeclared_journals(PROJECT, home) == []
    one_request(home)
    assert undeclared_journals(PROJECT, home) == []
    home.journals("pumps", "pump_repair").parent.rename(home.journals("pumps", "gone").parent)
    folders, shown = undeclared_journals(PROJECT, home), Console(record=True, width=200)
    show_undeclared(shown, folders)
    assert folders == [home.relative(home.journals("pumps", "gone"))]
    assert f"{folders[0]}: live answers of a model that is not declared any more" in shown.export_text()
