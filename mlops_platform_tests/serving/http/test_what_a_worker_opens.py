"""What a worker opens: an online store that is ours or another's, there or not, and a folder for its figures."""

import json
import os
import re
import shlex
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from mlops_platform.cli import serving as serve_command
from mlops_platform.cli.app import app
from mlops_platform.cli.served import find_examples, opened
from mlops_platform.resources.home import Home
from mlops_platform.serving.http.logs import Lines
from mlops_platform.serving.http.settings import Settings
from mlops_platform.spec import Project
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT
from mlops_platform_tests.resources.test_online_door import with_store

PREDICT = f"/v1/models/{MODEL.name}/predict"
ENTITIES = {"entities": [{"pump": "SECRET", "weekday": 1}]}
FEATURES = {"features": [{"pump": "P0", "weekday": 1, "pump_state__temperature": 60, "pump_state__vibration": 1}]}


@pytest.fixture
def asking(running_of: Callable[..., Any]) -> Callable[[Home, Project], Any]:
    """A client of what a worker opens over a home."""

    def ask(home: Home, project: Project) -> httpx.Client:
        settings = Settings()
        application, _ = opened(home, project, (MODEL.name,), settings)
        found: httpx.Client = running_of(application, settings).client
        return found

    return ask


def test_a_store_that_does_not_answer_is_told_as_such_and_may_be_asked_again(
    pumps_copy: Home, tmp_path: Path, asking: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    client = asking(pumps_copy, with_store(PROJECT, tmp_path / "repo", f"{{type: sqlite, path: '{folder}'}}"))
    refused = client.post(PREDICT, json=ENTITIES)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "StoreError" in refused.json()["found"]
    assert client.post(PREDICT, json=FEATURES).status_code == 200
    lines = [json.loads(Lines().format(record)) for record in caplog.records]
    failed = next(line for line in lines if line.get("error") == "StoreError")
    assert failed["because"] == ["OperationalError"]
    assert not any("SECRET" in json.dumps(line) for line in lines)


def test_another_store_than_ours_keeps_no_other_question_waiting(
    pumps_copy: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Settings] = []
    monkeypatch.setattr("mlops_platform.cli.served.create_app", lambda *_, settings, **__: seen.append(settings))
    for project in (PROJECT, with_store(PROJECT, tmp_path / "repo", f"{{type: sqlite, path: '{tmp_path}/o.db'}}")):
        _, service = opened(pumps_copy, project, (MODEL.name,), Settings())
        service.close()
    assert [each.inline > 0 for each in seen] == [True, False]


def test_an_upgraded_home_is_told_the_command_that_brings_features_online(
    pumps_copy: Home, asking: Callable[..., Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in pumps_copy.feast.glob("online*"):
        file.unlink()
    client = asking(pumps_copy, PROJECT)
    (warned,) = [record.getMessage() for record in caplog.records if "online store" in record.getMessage()]
    assert client.post(PREDICT, json=ENTITIES).status_code == 503
    monkeypatch.setenv("MLOPS_PROJECT", "mlops_platform_tests.lineage.pumps.project:PROJECT")
    monkeypatch.setenv("MLOPS_HOME", str(pumps_copy.path))
    monkeypatch.setenv("DAGSTER_HOME", str(pumps_copy.path))
    _, *command = shlex.split(warned.partition("remedy: ")[2])
    assert CliRunner().invoke(app, command).exit_code == 0
    assert client.post(PREDICT, json=ENTITIES).status_code == 200


def test_the_pages_show_a_request_that_can_be_sent_as_it_stands(
    pumps_copy: Home, running_of: Callable[..., Any]
) -> None:
    application, service = opened(pumps_copy, PROJECT, (MODEL.name,), Settings())
    client = running_of(application, Settings()).client

    def shown() -> tuple[Any, Any]:
        content = client.get("/openapi.json").json()["paths"][PREDICT]["post"]["requestBody"]["content"]
        (call,) = re.findall(r"<pre>(curl .*?)</pre>", client.get("/docs").text, re.DOTALL)
        return content["application/json"]["example"], json.loads(shlex.split(unescape(call))[-1])

    # Until one is found, one of no particular values is shown.
    assert shown()[0]["entities"] == [{"pump": "text", "weekday": 1}]
    find_examples(pumps_copy, service)
    for body in shown():
        answer = client.post(PREDICT, json=body)
        assert answer.status_code == 200, answer.text
        (prediction,) = answer.json()["predictions"]
        assert {used["status"] for used in prediction["features"].values()} <= {"present", "stale"}


def test_figures_of_a_service_that_was_killed_are_not_counted_again(home: Home) -> None:
    folder = serve_command._metrics_folder(home)
    assert folder.name == str(os.getpid())
    (folder / "gauge_livesum_7.db").write_bytes(b"left")
    # A container counts its processes from one again: the next service has this one's number.
    assert list(serve_command._metrics_folder(home).iterdir()) == []
