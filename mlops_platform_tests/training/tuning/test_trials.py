"""Programs that run trials: they die, refuse, crash and run side by side; here they are threads that talk alike."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlops_platform.errors import KilledError, TrainingError
from mlops_platform.spec import Between, Network, Tuning
from mlops_platform.training.job import Job
from mlops_platform.training.tuning.dialogue import Dialogue
from mlops_platform.training.tuning.study import Study
from mlops_platform.training.tuning.trials import Programs, run_study, watchers

MODULE = "mlops_platform_tests.training.networks:Tiny"
TUNING = Tuning(space={"learning_rate": Between(0.001, 1.0)}, trials=4, pruner="none")


def program(path: Path, each: Callable[[Network], dict[str, Any]] = lambda network: {"state": "complete"}) -> None:
    """Does what the training program does in place of it: two epochs a trial, by the dialogue."""
    folder = Job.read(path).trials
    assert folder is not None
    talk, place = Dialogue(folder), 0
    while "job" in (order := talk.hear(f"order-{place}")):
        network = Job.read(Path(order["job"])).network
        for epoch in range(2):
            talk.say(f"epoch-{place}-{epoch}", {"validation_loss": network.learning_rate / (epoch + 1)})
            talk.hear(f"answer-{place}-{epoch}")
        talk.say(f"result-{place}", each(network))
        place += 1


def killed(path: Path) -> None:
    raise KilledError(required="the training program to finish", found="it was ended by SIGKILL", remedy="again")


def crashed(path: Path) -> None:
    raise TrainingError(required="the training program to finish", found="exit code 1", remedy="read its output")


@contextmanager
def granted(wanted: Callable[[], bool]) -> Iterator[bool]:
    yield True


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    with Study(tmp_path / "studies.db", "study", TUNING, trials=4, epochs=2) as opened:
        yield opened


def programs(folder: Path, run: Callable[[Path], object], said: list[str], slot: Any = granted) -> Programs:
    job = Job(
        train=Path("a"), validation=Path("b"), output=folder, numeric=(), categories=(), network=Network(module=MODULE)
    )
    return Programs(job=job, folder=folder / "talk", run=run, slot=slot, say=said.append)


def test_one_program_does_all_trials_and_leaves_no_folder(study: Study, tmp_path: Path) -> None:
    begun, said, heard = [], list[str](), []
    watchers.append(lambda study, trial: heard.append(trial.number))
    try:
        run_study(study, programs(tmp_path, lambda path: (begun.append(path), program(path)), said), parallel=1)
    finally:
        watchers.pop()
    assert len(begun) == 1 and heard == [0, 1, 2, 3] and len(said) == 4
    assert [trial.state for trial in study.trials()] == ["complete"] * 4
    assert not (tmp_path / "talk").exists()


def test_a_killed_program_is_followed_by_another(study: Study, tmp_path: Path) -> None:
    begun, said = list[Path](), list[str]()

    def run(path: Path) -> None:
        begun.append(path)
        killed(path) if len(begun) == 1 else program(path)

    run_study(study, programs(tmp_path, run, said), parallel=1)
    assert len(begun) == 2 and "died: it was ended by SIGKILL" in said[0]
    assert [trial.state for trial in study.trials()] == ["complete"] * 4


def test_values_that_are_refused_count_and_the_study_goes_on(study: Study, tmp_path: Path) -> None:
    def each(network: Network) -> dict[str, Any]:
        return (
            {"state": "refused", "why": "it requires a finite loss"}
            if network.learning_rate > 0.5
            else {"state": "complete"}
        )

    run_study(study, programs(tmp_path, lambda path: program(path, each), []), parallel=1)
    states = {trial.state for trial in study.trials()}
    assert len(study.trials()) == 4 and "complete" in states <= {"complete", "refused"}
    assert all((trial.why is not None) == (trial.parameters["learning_rate"] > 0.5) for trial in study.trials())


def test_a_program_that_crashes_ends_the_tuning_and_the_next_goes_past_it(study: Study, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="exit code 1"):
        run_study(study, programs(tmp_path, crashed, []), parallel=1)
    assert [trial.state for trial in study.trials()] == ["died"]
    run_study(study, programs(tmp_path, program, []), parallel=1)
    assert [trial.state for trial in study.trials()] == ["died", "complete", "complete", "complete"]


def test_a_program_that_always_dies_comes_to_an_end(study: Study, tmp_path: Path) -> None:
    run_study(study, programs(tmp_path, killed, []), parallel=1)
    assert [trial.state for trial in study.trials()] == ["died"] * 4


def test_programs_run_side_by_side_as_slots_allow(study: Study, tmp_path: Path) -> None:
    at_once, most, lock = 0, 0, threading.Lock()
    slots = threading.Semaphore(1)

    @contextmanager
    def slot(wanted: Callable[[], bool]) -> Iterator[bool]:
        held = False
        while not held and wanted():
            held = slots.acquire(timeout=0.05)
        yield held
        if held:
            slots.release()

    def each(network: Network) -> dict[str, Any]:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.2)
        with lock:
            at_once -= 1
        return {"state": "complete"}

    run_study(study, programs(tmp_path, lambda path: program(path, each), [], slot), parallel=4)
    # One by the station's own slot, one by the further slot that is free.
    assert most == 2 and [trial.state for trial in study.trials()] == ["complete"] * 4


def test_what_fails_beside_ends_them_all_and_is_what_is_raised(study: Study, tmp_path: Path) -> None:
    def run(path: Path) -> None:
        if threading.current_thread().name.startswith("trials"):
            time.sleep(0.1)
            crashed(path)
        program(path, lambda network: time.sleep(0.3) or {"state": "complete"})  # type: ignore[func-returns-value]

    with pytest.raises(TrainingError, match="exit code 1"):
        run_study(study, programs(tmp_path, run, []), parallel=2)


def test_a_study_that_fails_stops_its_program(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bool:
        raise OSError("the disk is full")

    monkeypatch.setattr(study, "report", broken)
    with pytest.raises(OSError, match="the disk is full"):
        run_study(study, programs(tmp_path, program, []), parallel=1)


def test_messages_are_whole(tmp_path: Path) -> None:
    talk = Dialogue(tmp_path)
    talk.say("order-0", {"number": 1})
    assert json.loads((tmp_path / "order-0.json").read_bytes()) == talk.hear("order-0") == {"number": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["order-0.json"]
