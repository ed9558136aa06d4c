"""Predictions by entities, raw rows and feature values, in JSON and Arrow: the model's own answers, in order."""

from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest

from mlops_platform.serving.http.answers import as_frame, as_json, told
from mlops_platform.serving.live import LiveModel
from mlops_platform.serving.question import Answer, Question

PREDICT = "/v1/models/pump_repair/predict"
ARROW = "application/vnd.apache.arrow.stream"
AT = datetime(2024, 5, 9, 7, tzinfo=UTC)
ENTITIES = [{"pump": pump, "weekday": day, "event_timestamp": "2024-05-09T07:00:00Z", "id": f"{pump}-{day}"}
            for pump, day in (("P0", 4), ("P3", None), ("PX", 1), ("P1", 7))]  # fmt: skip
FEATURES = [{**row, "pump_state__temperature": 60.5, "pump_state__vibration": None} for row in ENTITIES]
ROWS = [{"pump": pump, "at": "2024-05-09T06:00:00Z"} for pump in ("P2", "P0", "P1")]
BODIES = {"entities": ENTITIES, "features": FEATURES, "rows": ROWS}


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows as a caller would hold them in columns."""
    times = [name for name in ("event_timestamp", "at") if name in rows[0]]
    return pl.DataFrame(rows).with_columns(pl.col(times).str.to_datetime(time_zone="UTC"))


def stream(rows: list[dict[str, Any]] | pl.DataFrame) -> bytes:
    """An Arrow IPC stream."""
    target = BytesIO()
    (rows if isinstance(rows, pl.DataFrame) else frame(rows)).write_ipc_stream(target)
    return target.getvalue()


def expected(live: LiveModel) -> list[float]:
    """What the model says to the entities, asked without HTTP."""
    table = frame(ENTITIES).with_columns(inspection_id=pl.col("id")).drop("id")
    (answer,) = live.answer(Question(examples=table))
    return [float(score) for score in answer.scores]


def test_entities_get_the_models_own_scores_in_order(client: httpx.Client, live: LiveModel) -> None:
    answer = client.post(PREDICT, json={"entities": ENTITIES}).json()
    predictions = answer["predictions"]
    assert [np.float32(p["score"]) for p in predictions] == [np.float32(s) for s in expected(live)]
    assert [p["id"] for p in predictions] == [row["id"] for row in ENTITIES]
    assert len({p["prediction_id"] for p in predictions}) == len(ENTITIES)
    assert answer["version"] == live.standing()["version"]
    assert answer["checkpoint"] == live.standing()["checkpoint"]
    # Nothing is known of the pump PX, and the answer says so.
    assert [sorted(p.get("marks", {})) for p in predictions][2] == ["pump_state__temperature", "pump_state__vibration"]
    assert "marks" not in predictions[0]


@pytest.mark.parametrize("kind", BODIES)
def test_json_and_arrow_give_equal_answers(client: httpx.Client, kind: str) -> None:
    as_told = client.post(PREDICT, json={kind: BODIES[kind]})
    assert as_told.status_code == 200, as_told.text
    asked = {"content-type": ARROW, "accept": ARROW}
    by_columns = client.post(PREDICT, params={"kind": kind}, content=stream(BODIES[kind]), headers=asked)
    assert by_columns.status_code == 200, by_columns.text
    assert by_columns.headers["content-type"] == ARROW
    found = pl.read_ipc_stream(BytesIO(by_columns.content))
    predictions = as_told.json()["predictions"]
    assert found["score"].to_list() == [np.float32(p["score"]) for p in predictions]
    assert found["id"].to_list() == [p.get("id") for p in predictions]
    assert found["role"].to_list() == ["champion"] * len(predictions)


def test_raw_rows_become_examples_by_the_projects_own_function(client: httpx.Client) -> None:
    answer = client.post(PREDICT, json={"rows": ROWS}).json()
    assert [p["id"] for p in answer["predictions"]] == ["P2-20240509", "P0-20240509", "P1-20240509"]
    by_entity = [{"pump": row["pump"], "weekday": 4, "event_timestamp": "2024-05-09T07:00:00Z"} for row in ROWS]
    again = client.post(PREDICT, json={"entities": by_entity}).json()
    assert [p["score"] for p in answer["predictions"]] == [p["score"] for p in again["predictions"]]


def test_features_come_back_with_their_times_on_request(client: httpx.Client) -> None:
    body = {"entities": ENTITIES[:1], "return_features": True}
    (prediction,) = client.post(PREDICT, json=body).json()["predictions"]
    temperature = prediction["features"]["pump_state__temperature"]
    assert temperature["status"] == "present"
    assert temperature["event_timestamp"] == "2024-05-09T06:00:00Z"
    assert 60 <= temperature["value"] <= 77
    given = client.post(PREDICT, json={"features": FEATURES[:1], "return_features": True}).json()["predictions"][0]
    assert given["features"]["pump_state__temperature"] == {
        "value": 60.5, "event_timestamp": None, "known_timestamp": None, "status": "given"
    }  # fmt: skip
    asked = {"content-type": ARROW, "accept": ARROW}
    parameters = {"kind": "entities", "return_features": "true"}
    columns = client.post(PREDICT, params=parameters, content=stream(ENTITIES[:1]), headers=asked).content
    found = pl.read_ipc_stream(BytesIO(columns)).row(0, named=True)
    assert found["pump_state__temperature"] == temperature["value"]
    assert found["pump_state__event_timestamp"] == datetime(2024, 5, 9, 6, tzinfo=UTC)
    assert found["pump_state__status"] == "present"


def test_a_kind_may_stand_in_arrows_metadata(client: httpx.Client) -> None:
    import pyarrow as pa

    table = frame(ENTITIES).to_arrow().replace_schema_metadata({"kind": "entities"})
    target = BytesIO()
    with pa.ipc.new_stream(target, table.schema) as writer:
        writer.write_table(table)
    answer = client.post(PREDICT, content=target.getvalue(), headers={"content-type": ARROW})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"


def test_time_is_now_where_none_is_given(client: httpx.Client) -> None:
    body = {"entities": [{"pump": "P0", "weekday": 4}], "return_features": True}
    (prediction,) = client.post(PREDICT, json=body).json()["predictions"]
    # The pumps were read in 2024, and their ttl is two days.
    assert prediction["features"]["pump_state__temperature"]["status"] == "stale"


def _answer(role: str, version: str, rows: list[int]) -> Answer:
    return Answer(
        rows=np.array(rows), ids=[f"{version}-{row}" for row in rows], version=version, checkpoint="sha256:0",
        scores=np.array(rows, dtype=np.float32), role=role, features=None, marks=[{}] * len(rows), answered_at=AT,
    )  # type: ignore[arg-type]  # fmt: skip


def test_canary_and_champion_answers_are_put_in_the_order_of_the_question_and_shadows_left_out() -> None:
    import json

    question = Question(examples=pl.DataFrame({"name": ["a", "b", "c", "d"]}))
    answers = [_answer("champion", "1", [2, 0]), _answer("canary", "2", [3, 1]), _answer("shadow", "3", [0, 2])]
    found = told("m", question, answers, "name")  # type: ignore[arg-type]
    predictions = json.loads(as_json(found, features=False))["predictions"]
    assert [p["score"] for p in predictions] == [0, 1, 2, 3]
    assert [p["role"] for p in predictions] == ["champion", "canary", "champion", "canary"]
    assert [p.get("version") for p in predictions] == [None, "2", None, "2"]
    columns = as_frame(found, features=False)
    assert columns["score"].to_list() == [0, 1, 2, 3]
    assert columns["id"].to_list() == ["a", "b", "c", "d"]
    assert columns["version"].to_list() == ["1", "2", "1", "2"]


@pytest.mark.parametrize("rows", [([0], [0, 1]), ([0], [2])])
def test_a_row_answered_twice_or_never_is_an_error(rows: tuple[list[int], list[int]]) -> None:
    question = Question(examples=pl.DataFrame({"name": ["a", "b", "c"]}))
    with pytest.raises(RuntimeError, match="once"):
        told("m", question, [_answer("champion", "1", rows[0]), _answer("canary", "2", rows[1])], "name")
