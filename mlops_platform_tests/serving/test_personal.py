"""No byte of a personal value comes to a journal or the log, and answers about a person still meet their label."""

import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from mlops_platform.errors import PlatformError
from mlops_platform.monitoring.labelled import labelled_answers
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.prediction_log.personal import KEY, Personal, key_file, personal_columns, personal_key
from mlops_platform.resources.prediction_log.shipping import ship
from mlops_platform.serving.batch import batch_ids, log_predictions
from mlops_platform.serving.question import Question
from mlops_platform.spec import Column, Model, Project
from mlops_platform_tests.lineage.pumps.project import INSPECTIONS, MODEL, PLAN, PROJECT, PUMP_STATE, READINGS
from mlops_platform_tests.serving.answering import ASKED, answer, log_of, question

NAME = "Ada-Lovelace-"


def personal(columns: tuple[Column, ...], *names: str) -> tuple[Column, ...]:
    return tuple(replace(column, personal=column.name in names) for column in columns)


def of_people() -> tuple[Project, Model]:
    """The pumps, as if a pump were a person, with a temperature and a weekday that are private."""
    model = replace(MODEL, context=personal(MODEL.context, "weekday"))
    tables = tuple(replace(table, columns=personal(table.columns, "pump")) for table in (READINGS, INSPECTIONS, PLAN))
    state = replace(PUMP_STATE, columns=personal(PUMP_STATE.columns, "temperature"))
    return replace(PROJECT, raw_tables=tables, feature_tables=(state,), models=(model,)), model


def asked_people(home: Home) -> list[str]:
    """Two people are answered live; their rows bring a further column that their raw table calls personal."""
    project, model = of_people()
    log, about = log_of(home, project=project, model=model), question(2, pump=NAME)
    given = answer(about.examples["pump"].arg_sort().to_numpy())
    log.log(Question(examples=about.examples), [given])
    log.close()
    return given.ids


def holding(folder: Path, text: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_what_is_declared_personal_is_told_apart(home: Home) -> None:
    project, model = of_people()
    found = personal_columns(project, model)
    assert found.hashed == {"pump", "inspection_id"}, "an id that is made of a personal key tells it"
    assert found.left_out == {"weekday", "pump_state__temperature"}
    nothing = personal_columns(PROJECT, MODEL)
    assert not nothing.hashed and not nothing.left_out


def test_no_byte_of_a_personal_value_is_written(home: Home) -> None:
    project, model = of_people()
    asked_people(home)
    assert list(home.journals("pumps", "pump_repair").iterdir()) and not holding(home.root, NAME)
    ship(home, project, model)
    log = DeltaDoor(home.prediction_log("pumps", "pump_repair"))
    assert not holding(home.root, NAME) and not holding(home.root, "weekday") and not holding(home.root, "61.5")
    rows = log.scan().collect().sort("prediction_id")
    assert not rows.select(pl.all().cast(pl.String).str.contains(NAME).any()).row(0).count(True)
    assert set(json.loads(rows["inputs"][0])) == {"pump"}
    assert set(json.loads(rows["features"][0])) == {"pump_state__vibration"}


def test_hashes_are_the_same_for_the_same_person_until_the_key_is_destroyed(home: Home) -> None:
    asked_people(home)
    asked_people(home)
    project, model = of_people()
    ship(home, project, model)
    log = DeltaDoor(home.prediction_log("pumps", "pump_repair")).scan().collect()
    assert log["example_id"].n_unique() == 2 and log["example_id"].str.starts_with("h-").all()
    assert key_file(home).stat().st_mode & 0o777 == 0o600
    ids = pl.Series([f"{NAME}0-20240510"])
    before = Personal(home, project, model).example_ids(ids)[0]
    assert before in log["example_id"]
    key_file(home).unlink()
    assert Personal(home, project, model).example_ids(ids)[0] not in log["example_id"]


def test_the_key_may_come_from_the_environment_and_must_be_one(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "a key of the environment, long enough")
    assert personal_key(home) == os.environ[KEY].encode() and not key_file(home).exists()
    monkeypatch.setenv(KEY, "short")
    with pytest.raises(PlatformError, match="32 characters or more in MLOPS_PERSONAL_KEY"):
        personal_key(home)


def test_hashed_answers_meet_their_labels(home: Home) -> None:
    project, model = of_people()
    ids = asked_people(home)
    ship(home, project, model)
    known = ASKED + timedelta(days=1)
    labels = pl.LazyFrame({
        "inspection_id": [f"{NAME}0-20240510", f"{NAME}1-20240510"], "label": pl.Series([1, 0], dtype=pl.Int8),
        "label_known_timestamp": [known, known],
    })  # fmt: skip
    log = DeltaDoor(home.prediction_log("pumps", "pump_repair")).scan()
    names = Personal(home, project, model).example_ids
    found = labelled_answers(log, "sha256:1", labels, identity="inspection_id", logged_ids=names)
    assert len(ids) == found.answers == 2 and sorted(found.rows["label"]) == [0, 1]
    assert labelled_answers(log, "sha256:1", labels, identity="inspection_id").rows.is_empty()


def test_a_batch_answer_about_a_person_tells_no_name_either(home: Home) -> None:
    project, model = of_people()
    private, examples = Personal(home, project, model), question(2, pump=NAME).examples
    frame = examples.with_columns(score=pl.lit(0.5, pl.Float32))
    frame = frame.insert_column(0, batch_ids("sha256:" + "ab" * 32, frame, private))
    log = DeltaDoor(home.prediction_log("pumps", "pump_repair"))
    log_predictions(log, frame, model=model, version="1", checkpoint="sha256:1", batch="b", run_id="r", private=private)
    assert not holding(home.root, NAME) and log.scan().collect()["example_id"].str.starts_with("h-").all()
    open_ids = batch_ids("sha256:" + "ab" * 32, frame, Personal(home, PROJECT, MODEL))
    assert not set(open_ids) & set(frame["prediction_id"]), "without the key nobody can try names against an id"
