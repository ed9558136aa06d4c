"""A training that is killed, stopped or retried gives the bytes of one that nobody disturbed."""

import os
import pickle
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from mlops_platform.errors import RESUME_ME
from mlops_platform.manifest import digest_file
from mlops_platform.spec import Saving
from mlops_platform.training.attempts import notes, reached, saved, spent
from mlops_platform.training.job import Job
from mlops_platform_tests.training import queues
from mlops_platform_tests.training.forked import Trainers, trainers
from mlops_platform_tests.training.tiny import CATEGORIES, NUMERIC, SPLITS, Shop, network, rows, shop

OFTEN = Saving(failures_every="1s", keep=3)
LATE = 60.0


@pytest.fixture(scope="module")
def forked() -> Iterator[Trainers]:
    """One import of torch for all."""
    with trainers() as found:
        yield found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number, (name, count) in enumerate(SPLITS.items()):
        rows(count, seed=number).write_parquet(folder / f"{name}.parquet")
    return folder


def job(
    data: Path, folder: Path, *, epochs: int, saves: bool = True, batch_size: int = 16, pause: float = 0.004
) -> Job:
    output = folder / "output"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    recipe = replace(network("Chancy", epochs=epochs, batch_size=batch_size), parameters={"pause": pause})
    return Job(
        train=data / "train.parquet", validation=data / "validation.parquet", output=output, numeric=NUMERIC,
        categories=CATEGORIES, network=recipe, saves=folder / "saves" if saves else None, saving=OFTEN,
    )  # fmt: skip


def digests(folder: Path) -> dict[str, str]:
    return {path.name: digest_file(path) for path in (folder / "output").iterdir()}


def test_a_loss_that_is_no_number_leaves_the_good_saves_from_before_and_names_the_newest(
    forked: Trainers, data: Path, tmp_path: Path
) -> None:
    import torch

    asked = job(data, tmp_path, epochs=5, batch_size=64)
    # Five batches an epoch: wrong in the third, which the learner's own look would see only as that one ends.
    late = replace(asked.network, module="mlops_platform_tests.training.networks:Late", parameters={"after": 12})
    path = str(replace(asked, network=late, saving=Saving(keep=100)).write(tmp_path / "job.json"))
    forked.start("save_at_every_place", path, log=tmp_path / "log")
    assert forked.ended() == 1
    assert (
        "nan in epoch 3, step 13; save step-000000012-epoch-00002 from before is kept" in (tmp_path / "log").read_text()
    )
    names = saved(tmp_path / "saves")
    assert names[0] == "step-000000012-epoch-00002"
    for name in names:
        state = torch.load(tmp_path / "saves" / name / "state.pt", weights_only=True)
        assert all(torch.isfinite(value).all() for value in state["state_dict"].values())


@pytest.fixture(scope="module")
def undisturbed(forked: Trainers, data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a training of twenty epochs leaves that saves nothing."""
    folder = tmp_path_factory.mktemp("undisturbed")
    path = job(data, folder, epochs=20, saves=False).write(folder / "job.json")
    forked.run("program", str(path), log=folder / "log")
    return digests(folder)


def test_a_training_goes_on_alike_from_each_place_at_which_it_can_be_saved(
    forked: Trainers, data: Path, tmp_path: Path
) -> None:
    whole = replace(job(data, tmp_path, epochs=3, batch_size=64, pause=0.0), saving=Saving(keep=100))
    path = str(whole.write(tmp_path / "job.json"))
    learnt = forked.run("save_at_every_place", path, log=tmp_path / "whole").splitlines()[-1]
    lines = forked.run("go_on_from_each", path, log=tmp_path / "resumed").splitlines()
    found = [line.split() for line in lines if line.startswith("step-")]
    assert len(found) == 3 * (5 + 1)
    assert {digest for _, digest in found} == {learnt}
    assert len([line for line in lines if line.startswith("resumed at step")]) == len(found)


def test_sequences_go_on_from_the_middle_with_the_state_that_was_carried(forked: Trainers, tmp_path: Path) -> None:
    net = queues.network(window=16, parallel=2, dropout=0.2)
    whole = replace(queues.job(tmp_path, net), saves=tmp_path / "saves", saving=Saving(keep=100))
    path = str(whole.write(tmp_path / "job.json"))
    learnt = forked.run("save_at_every_place", path, log=tmp_path / "whole").splitlines()[-1]
    lines = forked.run("go_on_from_each", path, log=tmp_path / "resumed").splitlines()
    found = [line.split() for line in lines if line.startswith("step-")]
    # Seven windows of the two tills of 100 hours, and three of the one of 40.
    assert len(found) == 3 * (7 + 3 + 1)
    assert {digest for _, digest in found} == {learnt}


def in_a_while(saves: Path, lives: Callable[[], bool]) -> None:
    time.sleep(random.uniform(0.0, 0.4))


def in_a_write(saves: Path, lives: Callable[[], bool]) -> None:
    time.sleep(random.uniform(0.0, 0.2))
    while not list(saves.glob(".writing-*")) and lives():
        pass


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def killed_again_and_again(
    forked: Trainers, whole: Job, folder: Path, moments: list[Callable[[Path, Callable[[], bool]], None]]
) -> tuple[int, int]:
    """Kills a training at a moment after it got further, again and again, and then lets it end.

    Returns:
        How many kills there were, and how many of them in the middle of a write.
    """
    path, kills, halves = str(whole.write(folder / "job.json")), 0, 0
    assert whole.saves is not None
    for moment in moments:
        before = reached(whole.saves)
        pid = forked.start("program", path, log=folder / "log")
        while reached(whole.saves) == before and lives(pid):
            time.sleep(0.001)
        moment(whole.saves, partial(lives, pid))
        if lives(pid):
            os.kill(pid, signal.SIGKILL)
        if forked.ended() == -signal.SIGKILL:
            kills += 1
            halves += bool(list(whole.saves.glob(".writing-*")))
        else:
            break
    forked.run("program", path, log=folder / "log")
    return kills, halves


def test_five_kills_leave_the_same_bytes(
    forked: Trainers, data: Path, tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    whole = job(data, tmp_path, epochs=20)
    kills, halves = killed_again_and_again(forked, whole, tmp_path, [in_a_while, in_a_write, in_a_while, in_a_write,
                                                                     in_a_write])  # fmt: skip
    assert kills >= 3 and halves >= 1
    assert digests(tmp_path) == undisturbed
    log = (tmp_path / "log").read_text()
    assert log.count("resumed at step") == kills
    sums = spent(notes(whole.saves))
    assert sums.attempts == kills + 1


@pytest.mark.soak
def test_fifty_kills_leave_the_same_bytes(forked: Trainers, data: Path, tmp_path: Path) -> None:
    alone = job(data, tmp_path / "alone", epochs=600, saves=False)
    forked.run("program", str(alone.write(tmp_path / "alone.json")), log=tmp_path / "alone.log")
    whole = job(data, tmp_path, epochs=600)
    kills, halves = killed_again_and_again(forked, whole, tmp_path, [in_a_while, in_a_write] * 25)
    print(f"{kills} kills, {halves} of them in a write; {spent(notes(whole.saves))}")
    assert kills == 50 and halves >= 10
    assert digests(tmp_path) == digests(tmp_path / "alone")


def test_a_training_that_is_asked_to_stop_saves_and_says_that_it_is_to_be_resumed(
    forked: Trainers, data: Path, tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    whole = replace(job(data, tmp_path, epochs=20), saving=Saving(every="1h"))
    assert whole.saves is not None
    path = str(whole.write(tmp_path / "job.json"))
    pid = forked.start("program", path, log=tmp_path / "log")
    until = time.monotonic() + LATE
    while not saved(whole.saves) and time.monotonic() < until:
        time.sleep(0.001)
    time.sleep(0.2)
    os.kill(pid, signal.SIGTERM)
    assert forked.ended() == RESUME_ME
    step = reached(whole.saves)
    assert step > 1 and f"saved at step {step}" in (tmp_path / "log").read_text()
    said = forked.run("program", path, log=tmp_path / "again")
    assert f"resumed at step {step} of 380" in said
    assert digests(tmp_path) == undisturbed
    sums = spent(notes(whole.saves))
    assert (sums.attempts, sums.lost_steps) == (2, 0)


def test_a_training_that_is_stopped_again_in_the_same_validation_is_saved_already(
    forked: Trainers, data: Path, tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    whole = job(data, tmp_path, epochs=20)
    path = str(whole.write(tmp_path / "job.json"))
    for _ in range(2):
        forked.start("stop_in_validation", path, log=tmp_path / "log")
        assert forked.ended() == RESUME_ME, (tmp_path / "log").read_text()
        assert whole.saves is not None and saved(whole.saves) == ("step-000000019-epoch-00000",)
    assert "could not be written" not in (tmp_path / "log").read_text()
    forked.run("program", path, log=tmp_path / "log")
    assert digests(tmp_path) == undisturbed


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def turned(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def planted(path: Path) -> None:
    """A pickle that would run, under a digest that was mended to fit."""
    before = digest_file(path)
    path.write_bytes(pickle.dumps(print))
    record = path.parent / "save.json"
    record.write_text(record.read_text().replace(before, digest_file(path)))


@pytest.fixture(scope="module")
def stopped(forked: Trainers, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that was killed and has three saves. Read only."""
    folder = tmp_path_factory.mktemp("stopped")
    whole = job(data, folder, epochs=5)
    assert whole.saves is not None
    pid = forked.start("learn", str(whole.write(folder / "job.json")), log=folder / "log")
    until = time.monotonic() + LATE
    while len(saved(whole.saves)) < 3 and time.monotonic() < until:
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    assert forked.ended() == -signal.SIGKILL
    return folder


@pytest.fixture(scope="module")
def learnt(forked: Trainers, data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a training of five epochs learns that saves nothing."""
    folder = tmp_path_factory.mktemp("learnt")
    path = job(data, folder, epochs=5, saves=False).write(folder / "job.json")
    return forked.run("learn", str(path), log=folder / "log").split()[-1]


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("state.pt", half, "state.pt of digest sha256:"),
        ("rank-0.pt", turned, "rank-0.pt of digest sha256:"),
        ("state.pt", Path.unlink, "no such file"),
        ("save.json", half, "a record that can be read in save.json"),
        ("state.pt", planted, "tensors and plain values in state.pt"),
    ],
)
def test_a_damaged_save_is_refused_by_name_and_the_one_before_it_is_used(
    forked: Trainers, data: Path, stopped: Path, learnt: str, tmp_path: Path, name: str,
    damage: Callable[[Path], None], said: str,
) -> None:  # fmt: skip
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    whole = job(data, tmp_path, epochs=5)
    assert whole.saves is not None
    newest, before, _ = saved(whole.saves)
    damage(whole.saves / newest / name)
    heard = forked.run("learn", str(whole.write(tmp_path / "job.json")), log=tmp_path / "log2")
    assert f"save {newest} is refused" in heard and said in heard
    assert f"from save {before}" in heard
    assert heard.split()[-1] == learnt


def test_the_saves_of_another_training_are_refused(
    forked: Trainers, data: Path, stopped: Path, learnt: str, tmp_path: Path
) -> None:
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    other = replace(job(data, tmp_path, epochs=5), identity="sha256:another")
    heard = forked.run("learn", str(other.write(tmp_path / "job.json")), log=tmp_path / "log2")
    assert heard.count("is refused") == 3 and "of training another" in heard and "resumed" not in heard
    assert heard.split()[-1] == learnt


@pytest.mark.long
def test_a_cancelled_run_and_then_a_killed_trainer_leave_the_same_bytes(
    forked: Trainers, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("MLOPS_HOME", "DAGSTER_HOME", "MLOPS_ENV", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"):
        monkeypatch.delenv(variable, raising=False)
    deadly = tmp_path / "deadly"
    monkeypatch.setenv("DEADLY", str(deadly))
    recipe = replace(network("KilledOnce", epochs=40), parameters={"pause": 0.01})
    disturbed = shop(tmp_path, recipe)
    folders = disturbed.home.root / "training"

    def cancel() -> None:
        until = time.monotonic() + LATE
        while not list(folders.glob("*/step-*")) and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    canceller = threading.Thread(target=cancel)
    canceller.start()
    assert not disturbed.materialize().success
    canceller.join()
    (saves,) = folders.iterdir()
    assert 1 < reached(saves) < 200 and disturbed.checkpoint() is None

    deadly.touch()
    assert disturbed.materialize().success and not deadly.exists()
    made = disturbed.checkpoint()
    assert made is not None
    figures = made.manifest.produced.measured
    assert figures["attempts"] == 3 and figures["lost_steps"] > 0 and figures["goodput"]["lost"] > 0
    assert not list(folders.iterdir())
    alone = replace(job(data, tmp_path / "alone", epochs=1, saves=False), network=recipe)
    alone = replace(alone, train=made_of(disturbed, "train"), validation=made_of(disturbed, "validation"),
                    holdout=made_of(disturbed, "holdout"))  # fmt: skip
    forked.run("program", str(alone.write(tmp_path / "alone.json")), log=tmp_path / "alone.log")
    assert digests(tmp_path / "alone") == dict(made.manifest.files)


def made_of(disturbed: Shop, split: str) -> Path:
    return disturbed.dataset.file(f"{split}.parquet")
