"""What every launcher on this machine keeps: real processes, real signals, and nobody left behind."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import psutil
import pytest

from mlops_platform.errors import KilledError, SavedError, TrainingError
from mlops_platform.resources.devices import holder_of
from mlops_platform.resources.launchers import launcher
from mlops_platform.resources.launchers.outcome import Ended, require_finished
from mlops_platform_tests.resources.launching import run

ROOT = Path(__file__).parents[2]
LAUNCHERS = [("local", 1), ("torchrun", 2)]
every_launcher = pytest.mark.parametrize(("name", "ranks"), LAUNCHERS)


@pytest.fixture(autouse=True)
def _one_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STAND_IN_FOLDER", str(tmp_path))


def processes(folder: Path) -> list[int]:
    return [int(path.read_text()) for path in sorted(folder.glob("pid-*"))]


def living(folder: Path) -> list[int]:
    alive = [pid for pid in processes(folder) if psutil.pid_exists(pid)]
    return [pid for pid in alive if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def error_of(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = (event for event in result.all_events if event.is_step_failure)
    error = failure.step_failure_data.error
    assert error is not None and error.cause is not None
    return f"{error.cause.cls_name}: {error.cause.message}"


@every_launcher
def test_it_finishes_and_brings_the_messages(name: str, ranks: int, tmp_path: Path) -> None:
    result = run(tmp_path, name, ranks, 0, "finish")
    (event,) = result.asset_materializations_for_node("shop__sells__checkpoint")
    # Heartbeats are for the launcher alone.
    assert event.metadata["messages"].value == [{"event": "finished", "rows_per_second": 1.0}]
    assert len(processes(tmp_path)) == ranks


@every_launcher
def test_a_mistake_of_any_rank_reaches_the_user(name: str, ranks: int, tmp_path: Path) -> None:
    said = error_of(run(tmp_path, name, ranks, ranks - 1, "refuse"))
    assert "Required: a good job\n" in said and f"rank {ranks - 1}\n" in said and "Remedy: mend it" in said
    assert living(tmp_path) == []


@every_launcher
def test_a_killed_rank_ends_the_others(name: str, ranks: int, tmp_path: Path) -> None:
    said = error_of(run(tmp_path, name, ranks, ranks - 1, "kill", grace_seconds=1.0))
    assert "KilledError" in said and "ended by SIGKILL" in said
    assert ("rank 1" in said) == (ranks > 1)
    assert living(tmp_path) == []


@every_launcher
def test_a_trainer_that_stops_reporting_is_ended(name: str, ranks: int, tmp_path: Path) -> None:
    limits = {"silence_seconds": 8.0 if ranks > 1 else 1.0, "grace_seconds": 0.2}
    said = error_of(run(tmp_path, name, ranks, 0, "freeze", **limits))
    assert "KilledError" in said and "a sign of life" in said and "silence_seconds" in said
    assert living(tmp_path) == []


def test_a_trainer_that_lives_and_does_not_get_on_is_ended(tmp_path: Path) -> None:
    said = error_of(run(tmp_path, "local", 1, 0, "wait", stall_seconds=0.8, grace_seconds=0.2))
    assert "KilledError" in said and "has not got on" in said and "stall_seconds" in said
    assert living(tmp_path) == []


@every_launcher
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_cancelled_or_killed_run_leaves_no_process(
    name: str, ranks: int, number: signal.Signals, tmp_path: Path
) -> None:
    # The trainer and its child ignore requests to stop.
    with _running(tmp_path, name, ranks, ranks - 1, "deaf") as process:
        expected = ranks + 1
        assert _until(lambda: len(processes(tmp_path)) == expected and all(processes(tmp_path)))
        locks = sorted((tmp_path / "leases").iterdir())
        holders = [holder_of(lock) for lock in locks]
        assert len(holders) == ranks and all(held and held.model == "shop/sells" for held in holders)
        group = psutil.Process(process.pid).children(recursive=True)
        assert {each.pid for each in group} >= set(processes(tmp_path))
        process.send_signal(number)
        process.wait(30)
        _, alive = psutil.wait_procs(group, timeout=10)
        assert alive == [] and living(tmp_path) == []
        assert [holder_of(lock) for lock in locks] == [None] * ranks


class _running:
    """A run in a process of its own, ended with the block."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        self._command = [sys.executable, "-m", "mlops_platform_tests.resources.launching", str(folder)]
        self._command += [str(each) for each in arguments]

    def __enter__(self) -> "subprocess.Popen[bytes]":
        self._process = subprocess.Popen(self._command, cwd=ROOT, stderr=subprocess.DEVNULL)
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def _until(holds: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


FINISHED = [{"event": "epoch"}, {"event": "finished"}]
STOPPED = [{"event": "stopped", "step": 7}]
REFUSED = {"required": "rows", "found": "no rows", "remedy": "land some"}
KILLED = Ended(rank=1, code=-signal.SIGKILL, said={})


@pytest.mark.parametrize(
    ("code", "messages", "ended", "error", "said"),
    [
        (0, FINISHED[:1], (), TrainingError, "exit code 0"),
        (1, FINISHED, (), TrainingError, "exit code 1"),
        (75, STOPPED, (), SavedError, "it was asked to stop, and saved at step 7"),
        (143, STOPPED, (), SavedError, "it was asked to stop, and saved at step 7"),
        (1, STOPPED, (Ended(rank=1, code=75, said={}),), SavedError, "rank 1: it was asked to stop"),
        (1, STOPPED, (KILLED,), KilledError, "rank 1: it was ended by SIGKILL"),
        (1, STOPPED, (Ended(rank=1, code=1, said=REFUSED),), TrainingError, "rank 1: no rows"),
        (-signal.SIGKILL, [], (), KilledError, "ended by SIGKILL"),
        (143, [], (), KilledError, "ended by SIGTERM"),
        (1, [], (Ended(rank=0, code=143, said={}), Ended(rank=1, code=1, said={})), KilledError, "rank 0: .*SIGTERM"),
        (1, FINISHED[:1], (KILLED,), KilledError, "rank 1: it was ended by SIGKILL"),
        (1, [], (Ended(rank=2, code=1, said={"found": "ValueError: x"}),), TrainingError, "rank 2: .*ValueError: x"),
    ],
)
def test_what_an_end_means(
    code: int, messages: list[dict], ended: tuple[Ended, ...], error: type[TrainingError], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        require_finished(code, messages, ended)
    assert type(caught.value) is error


def test_a_finished_program_is_no_error_and_an_unknown_launcher_is() -> None:
    require_finished(0, FINISHED)
    with pytest.raises(TrainingError, match=r"only .*local"):
        launcher("slurm")
