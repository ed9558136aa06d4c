"""What is away for a moment costs no training: a Ray dashboard, a filesystem. One that refuses is told of."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_platform.errors import TrainingError
from mlops_platform.resources.launchers import Launch, patience, shared
from mlops_platform.resources.launchers.ray import Jobs
from mlops_platform.resources.launchers.shared import Shared


def _jobs(*answers: Any) -> Jobs:
    left = list(answers)

    def answer(*_: object, **__: object) -> Any:
        said = left.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    return Jobs(SimpleNamespace(get_job_status=answer, submit_job=answer))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_POLL_SECONDS", 0.0)


def test_it_is_asked_again_while_it_is_away_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    away = ConnectionError("refused"), RuntimeError("Request failed with status code 500: the head starts anew.")
    assert _jobs(*away, *away, "RUNNING").get_job_status("job") == "RUNNING"
    with pytest.raises(RuntimeError, match="404"):
        _jobs(RuntimeError("Request failed with status code 404: no such job."), "RUNNING").get_job_status("job")
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", -1.0)
    with pytest.raises(ConnectionError):
        _jobs(*away).get_job_status("job")


def test_a_job_is_submitted_once_and_a_refusal_says_why() -> None:
    with pytest.raises(TrainingError, match="no space left"):
        _jobs(RuntimeError("Request failed with status code 500: no space left."), "job").submit_job(entrypoint="true")


def test_a_folder_that_is_away_for_a_moment_is_written_to_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shared, "_BEAT_SECONDS", 0.01)
    folder, away = tmp_path / "launch", tmp_path / "away"
    with Shared(Launch(job=tmp_path / "job.json"), "launch"):
        folder.rename(away)
        time.sleep(0.1)
        away.rename(folder)
        before = int((folder / "alive").read_text())
        time.sleep(0.1)
        assert int((folder / "alive").read_text() or before + 1) > before
    assert capsys.readouterr().out.count("No such file") == 1
