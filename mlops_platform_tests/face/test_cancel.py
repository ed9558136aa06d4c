"""A run cancelled as the UI's button does it: every process of the training ends, and the run is cancelled."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install '.[test]'")

from mlops_platform.resources.devices import holder_of
from mlops_platform.resources.home import Home
from mlops_platform_tests.face.live import HOST, free_port, graphql, processes_of, program

WORKSPACE = "load_from:\n  - python_module: mlops_platform_tests.resources.cancelled_definitions\n"
LAUNCH = """mutation ($selector: JobOrPipelineSelector!) {
  launchRun(executionParams: {selector: $selector, runConfigData: {}, mode: "default"}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
CANCEL = "mutation ($id: String!) { terminateRun(runId: $id) { __typename } }"
STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
REPOSITORY = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"


def until(holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.2)


@pytest.mark.long
def test_a_cancelled_run_ends_every_process(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, port = tmp_path / "workspace.yaml", free_port()
    workspace.write_text(WORKSPACE)
    monkeypatch.setenv("STAND_IN_FOLDER", str(tmp_path))
    address = f"http://{HOST}:{port}"
    command = ("-m", "dagster", "dev", "-w", str(workspace), "--host", HOST, "--port", str(port))
    with program(home.path, command, [port]):
        (repository,) = graphql(address, REPOSITORY)["repositoriesOrError"]["nodes"]
        selector = {"repositoryName": repository["name"], "repositoryLocationName": repository["location"]["name"],
                    "pipelineName": "training"}  # fmt: skip
        run = graphql(address, LAUNCH, selector=selector)["launchRun"]["run"]["runId"]
        noted = ("pid-0", "pid-1", "pid-child")
        until(lambda: all((tmp_path / name).is_file() and (tmp_path / name).read_text() for name in noted), 90)
        pids = [int((tmp_path / name).read_text()) for name in noted]
        assert all(psutil.pid_exists(pid) for pid in pids)

        graphql(address, CANCEL, id=run)
        until(lambda: graphql(address, STATUS, id=run)["runOrError"]["status"] == "CANCELED", 60)
        until(lambda: not any(psutil.pid_exists(pid) for pid in pids), 10)
        assert [holder_of(lock) for lock in (tmp_path / "leases").iterdir()] == [None, None]
    assert processes_of(home.path) == []
