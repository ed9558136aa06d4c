"""A live model follows the champion's alias: what verifies takes over, what does not is refused."""

import errno
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlops_platform.registry.by_person import Asked, allow, promote, rollback
from mlops_platform.resources.aliases import CHECKPOINT_TAG
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import MlflowDoor
from mlops_platform.scoring import Scorer
from mlops_platform.serving.events import refusal_tellers
from mlops_platform.serving.live import LiveModel
from mlops_platform.serving.question import Answer
from mlops_platform.serving.swap import NotReadyError
from mlops_platform.spec import Sequence
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT
from mlops_platform_tests.serving.planted import (
    NAME,
    by_values,
    champion_of,
    checkpoint_of,
    flip_a_bit,
    holdout,
    nan_scores,
    point,
    registered,
)

ADA = Asked(by="ada", because="complaints since noon")
SOON = 5.0


@pytest.fixture
def live(moved_home: Home) -> Iterator[LiveModel]:
    """Version 2 answers; the alias is looked at by ``refresh`` alone."""
    found = LiveModel(moved_home, PROJECT, MODEL, every=None)
    found.refresh()
    assert found.ready, found.standing()
    yield found
    found.close()


def refused(home: Home) -> list[dict]:
    return [json.loads(p.read_bytes()) for p in home.refusals("pumps", "pump_repair").glob("*.json")]


def test_it_answers_as_the_batch_does_by_the_champion(live: LiveModel, moved_home: Home) -> None:
    rows = holdout(moved_home)
    (answer,) = live.answer(by_values(rows))
    checkpoint = checkpoint_of(moved_home, "2")
    assert np.array_equal(answer.scores, Scorer.load(checkpoint).score(rows))
    assert (answer.version, answer.checkpoint, answer.role) == ("2", checkpoint.manifest.digest, "champion")
    assert answer.rows.tolist() == [0, 1, 2, 3, 4] and len(set(answer.ids)) == 5
    assert all(name.startswith(f"o-{answer.answered_at:%Y%m%dT%H%M%S%f}-") for name in answer.ids)
    standing = live.standing()
    assert (standing["version"], standing["checkpoint"]) == ("2", answer.checkpoint)
    assert standing["reason"] is standing["refused"] is standing["registry"] is None
    assert datetime.fromisoformat(standing["since"]) <= answer.answered_at


def test_a_rollback_and_a_promotion_swap(live: LiveModel, moved_home: Home) -> None:
    alias, rows = champion_of(moved_home), by_values(holdout(moved_home))
    rollback(alias, ADA)
    live.refresh()
    assert [a.version for a in live.answer(rows)] == ["1"]
    allow(alias, ADA, version="2")
    promote(alias, ADA, version="2")
    live.refresh()
    assert [a.version for a in live.answer(rows)] == ["2"]
    assert live.standing()["swaps"] == 2 and live.standing()["draining"] == []


def test_an_alias_moved_by_hand_is_followed_if_the_version_verifies(live: LiveModel, moved_home: Home) -> None:
    point(moved_home, "1")
    live.refresh()
    assert live.standing()["version"] == "1" and refused(moved_home) == []


def a_flipped_bit(home: Home) -> str:
    flip_a_bit(checkpoint_of(home, "1").folder / "program.onnx")
    return "1"


def weights_that_are_gone(home: Home) -> str:
    (checkpoint_of(home, "1").folder / "weights.safetensors").unlink()
    return "1"


def an_edited_manifest(home: Home) -> str:
    path = checkpoint_of(home, "1").folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"rows":', b'"rowz":', 1))
    return "1"


def another_signature(home: Home) -> str:
    path = home.mlflow / "models" / checkpoint_of(home, "1").folder.name / "MLmodel"
    path.write_text(path.read_text().replace('"shape": [-1, 3]', '"shape": [-1, 4]').replace("int64", "int32"))
    return "1"


def another_output(home: Home) -> str:
    path = home.mlflow / "models" / checkpoint_of(home, "1").folder.name / "MLmodel"
    text = path.read_text()
    path.write_text(text.replace('"name": "score"', '"name": "scores"'))
    return "1"


def no_tag(home: Home) -> str:
    return registered(home, nan_scores, tag=False)


def nan(home: Home) -> str:
    return registered(home, nan_scores)


def no_program(home: Home) -> str:
    return registered(home, lambda program: program.write_bytes(b"no program"))


def another_program_in_the_package(home: Home) -> str:
    models, (one, two) = home.mlflow / "models", (checkpoint_of(home, v).folder.name for v in "12")
    for path in (models / one).iterdir():
        if path.suffix in (".data", ".onnx"):
            path.unlink()
    for path in (models / two).iterdir():
        if path.suffix in (".data", ".onnx"):
            (models / one / path.name).write_bytes(path.read_bytes())
    return "1"


def no_package(home: Home) -> str:
    (home.mlflow / "models" / checkpoint_of(home, "1").folder.name / "MLmodel").unlink()
    return "1"


def of_another_model(home: Home) -> str:
    path = checkpoint_of(home, "1").folder / "manifest.json"
    told = path.read_bytes().replace(b'"station":"pumps/pump_repair/checkpoint"', b'"station":"pumps/other/checkpoint"')
    path.write_bytes(told)
    return "1"


PLANTED = {
    a_flipped_bit: ("of digest", "sha256:"),
    weights_that_are_gone: ("weights.safetensors of digest", "no such file"),
    an_edited_manifest: ("content of digest", "manifest.json"),
    another_signature: ("inputs of version 1", "int32"),
    another_output: ("outputs of version 1", "scores"),
    no_tag: (CHECKPOINT_TAG, "no such tag"),
    nan: ("finite scores", "nan"),
    no_program: ("to load and to answer", "InvalidProtobuf"),
    another_program_in_the_package: ("as MLflow's copy does", "a difference of"),
    no_package: ("MLflow's package", "nothing at"),
    of_another_model: ("a checkpoint of pumps/pump_repair", "pumps/other"),
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_version_that_does_not_hold_is_refused_and_the_old_one_stays(
    live: LiveModel, moved_home: Home, plant: object
) -> None:
    required, found = PLANTED[plant]  # type: ignore[index]
    version = plant(moved_home)  # type: ignore[operator]
    point(moved_home, version)
    for _ in range(2):
        live.refresh()
    standing = live.standing()
    assert standing["version"] == "2" and live.ready and standing["reason"] is None
    assert standing["refused"]["version"] == version
    assert required in standing["refused"]["required"] and found in standing["refused"]["found"], standing["refused"]
    (record,) = refused(moved_home)
    assert (record["version"], record["live"]) == (version, "2") and record["remedy"]
    (event,) = [event for teller in refusal_tellers(PROJECT, moved_home) for event in teller.events(None)]
    assert (event.kind, event.at, event.version["about"]) == ("version_refused", record["at"], version)  # type: ignore[index]
    assert "version 2 answers on" in event.reason and str(moved_home.path) not in event.body().decode()
    (answer,) = live.answer(by_values(holdout(moved_home)))
    assert answer.version == "2"


def test_a_refused_version_is_tried_again_only_when_its_bytes_change(live: LiveModel, moved_home: Home) -> None:
    program = checkpoint_of(moved_home, "1").folder / "program.onnx"
    sound = program.read_bytes()
    flip_a_bit(program)
    point(moved_home, "1")
    live.refresh()
    refusal = live.standing()["refused"]
    live.refresh()
    assert live.standing()["refused"] == refusal, "not tried again, else it would have another time"
    program.write_bytes(sound)
    live.refresh()
    assert live.standing()["version"] == "1" and live.standing()["refused"] is None
    assert len(refused(moved_home)) == 1


def test_without_a_champion_it_is_not_ready_and_says_why(home: Home) -> None:
    live = LiveModel(home, PROJECT, MODEL, every=None)
    live.refresh()
    assert not live.ready and "with the alias champion" in live.standing()["reason"]
    rows = {"pump": ["P1"], "event_timestamp": [None], "weekday": [1], "inspection_id": [None]}
    with pytest.raises(NotReadyError, match="mlops history pump_repair"):
        live.answer(by_values(pl.DataFrame({**rows, "pump_state__temperature": [1.0], "pump_state__vibration": [1.0]})))


def test_a_model_of_sequences_waits_for_the_states_of_its_checkpoint_and_says_what_to_run(moved_home: Home) -> None:
    sequences = replace(MODEL.network, sequence=Sequence(entity=("pump",), window=8))
    live = LiveModel(moved_home, PROJECT, replace(MODEL, network=sequences), every=None)
    live.refresh()
    assert not live.ready and "no states" in live.standing()["reason"] and refused(moved_home) == []
    with pytest.raises(NotReadyError, match=r"mlops materialize --select 'key:\"pumps/pump_repair/predictions\"'"):
        live.answer(by_values(holdout(moved_home)))
    assert refused(moved_home) == []


def test_where_the_first_champion_is_refused_it_is_not_ready_and_says_why(moved_home: Home) -> None:
    flip_a_bit(checkpoint_of(moved_home, "2").folder / "program.onnx")
    live = LiveModel(moved_home, PROJECT, MODEL, every=None)
    live.refresh()
    assert not live.ready and "program.onnx" in live.standing()["reason"]
    assert refused(moved_home)[0]["live"] is None


def test_a_registry_that_cannot_be_read_keeps_the_version_and_says_so(live: LiveModel, moved_home: Home) -> None:
    database = moved_home.mlflow / "mlflow.db"
    whole = database.read_bytes()
    database.write_bytes(b"no database" * 1000)
    live.refresh()
    assert live.ready and "not a database" in live.standing()["registry"]
    database.write_bytes(whole)
    live.refresh()
    assert live.standing()["registry"] is None


def test_an_alias_that_is_gone_keeps_the_version_and_says_so(live: LiveModel, moved_home: Home) -> None:
    MlflowDoor(moved_home, "pumps").client.delete_registered_model_alias(NAME, "champion")
    live.refresh()
    assert live.ready and "points nowhere" in live.standing()["registry"]


def test_an_answer_under_way_keeps_its_version_until_it_is_out(live: LiveModel, moved_home: Home) -> None:
    with live._champion.answering() as version:
        point(moved_home, "1")
        live.refresh()
        assert version.version == "2" and live.standing()["draining"] == ["2"]
        assert [a.version for a in live.answer(by_values(holdout(moved_home)))] == ["1"]
    assert live.standing()["draining"] == []


def test_no_answer_fails_while_versions_are_promoted_and_each_is_of_one_that_was_live(moved_home: Home) -> None:
    """Threads ask all the time; a thread of its own follows the alias."""
    alias, rows = champion_of(moved_home), by_values(holdout(moved_home))
    live = LiveModel(moved_home, PROJECT, MODEL)
    answers: list[tuple[float, Answer]] = []
    errors: list[BaseException] = []
    end = threading.Event()

    def ask() -> None:
        try:
            while not end.is_set():
                answers.extend((time.monotonic(), answer) for answer in live.answer(rows))
                time.sleep(0.002)
        except BaseException as error:
            errors.append(error)
            raise

    while not live.ready:
        time.sleep(0.01)
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    moves = [(time.monotonic(), "2")]
    for step in (
        lambda: rollback(alias, ADA),
        lambda: (allow(alias, ADA, version="2"), promote(alias, ADA, version="2")),
    ):
        time.sleep(0.3)
        step()
        moves.append((time.monotonic(), "1" if moves[-1][1] == "2" else "2"))
        until = time.monotonic() + SOON
        while live.standing()["version"] != moves[-1][1] and time.monotonic() < until:
            time.sleep(0.01)
        assert live.standing()["version"] == moves[-1][1]
    time.sleep(0.3)
    end.set()
    for thread in threads:
        thread.join()
    live.close()
    assert errors == [] and len(answers) > 100
    expected = {v: Scorer.load(checkpoint_of(moved_home, v)).score(holdout(moved_home)) for v in "12"}
    for at, answer in answers:
        # The alias moves a moment before the command that moved it ends.
        lived = [v for (begun, v), (ended, _) in zip(moves, [*moves[1:], (at, "")], strict=True)
                 if begun - SOON <= at and at <= ended + SOON]  # fmt: skip
        assert answer.version in lived and np.array_equal(answer.scores, expected[answer.version])
    assert {answer.version for _, answer in answers} == {"1", "2"}
    assert len({name for _, answer in answers for name in answer.ids}) == 5 * len(answers)


def test_nothing_is_answered_after_the_close(moved_home: Home) -> None:
    live = LiveModel(moved_home, PROJECT, MODEL, every=0.01)
    until = time.monotonic() + 10
    while not live.ready and time.monotonic() < until:
        time.sleep(0.01)
    live.close()
    assert not live.ready
    with pytest.raises(NotReadyError):
        live.answer(by_values(holdout(moved_home)))
    threads = [thread.name for thread in threading.enumerate()]
    assert not [name for name in threads if "follows champion" in name]


def test_a_locked_registry_is_a_trouble_not_an_end(moved_home: Home, tmp_path: Path) -> None:
    """The poll waits for a writer, and the version in place answers meanwhile."""
    live = LiveModel(moved_home, PROJECT, MODEL, every=None)
    live.refresh()
    with sqlite3.connect(moved_home.mlflow / "mlflow.db", isolation_level=None) as database:
        database.execute("BEGIN EXCLUSIVE")
        looking = threading.Thread(target=live.refresh)
        looking.start()
        assert [a.version for a in live.answer(by_values(holdout(moved_home)))] == ["2"]
        database.execute("ROLLBACK")
    looking.join()
    assert live.standing()["registry"] is None


def test_a_moments_lack_of_files_refuses_nothing(
    live: LiveModel, moved_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    point(moved_home, "1")
    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "load", _no_more_files)
        live.refresh()
    standing = live.standing()
    assert standing["version"] == "2" and standing["refused"] is None and refused(moved_home) == []
    assert "Too many open files" in standing["registry"]
    live.refresh()
    assert live.standing()["version"] == "1" and live.standing()["registry"] is None


def _no_more_files(*_: object) -> Scorer:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_a_refusal_that_could_not_be_written_down_is_written_later(live: LiveModel, moved_home: Home) -> None:
    folder = moved_home.refusals("pumps", "pump_repair")
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("in the way")
    point(moved_home, another_output(moved_home))
    live.refresh()
    assert live.standing()["refused"]["version"] == "1"
    folder.unlink()
    live.refresh()
    assert [told["version"] for told in refused(moved_home)] == ["1"]


def test_nothing_is_told_as_refused_once_the_alias_is_gone(live: LiveModel, moved_home: Home) -> None:
    point(moved_home, another_output(moved_home))
    live.refresh()
    MlflowDoor(moved_home, "pumps").client.delete_registered_model_alias(NAME, "champion")
    live.refresh()
    assert live.ready and live.standing()["refused"] is None
    assert "points nowhere" in live.standing()["registry"]


def test_a_look_makes_no_registry(home: Home) -> None:
    """Another process is making it: to write into it at the same time could break it."""
    live = LiveModel(home, PROJECT, MODEL, every=None)
    live.refresh()
    database = home.mlflow / "mlflow.db"
    assert not database.exists() and not live.ready
    database.parent.mkdir(parents=True)
    database.touch()
    live.refresh()
    assert not live.ready and database.stat().st_size == 0
