"""MLflow's scoring protocol: its own client works unchanged, and answers have the form of its own server."""

from collections.abc import Callable
from typing import Any

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

from mlops_platform.serving.live import LiveModel

ROWS = pd.DataFrame({
    "pump": ["P0", "P1", "P3"], "weekday": [1.0, float("nan"), 7.0],
    "event_timestamp": ["2024-05-09T07:00:00Z"] * 3,
})  # fmt: skip
PREDICT = "/v1/models/pump_repair/predict"


@pytest.fixture(scope="module")
def scores(client: httpx.Client) -> list[float]:
    """What our own route answers to the same rows."""
    rows = [{**row, "weekday": None if np.isnan(row["weekday"]) else int(row["weekday"])}
            for row in ROWS.to_dict(orient="records")]  # fmt: skip
    return [p["score"] for p in client.post(PREDICT, json={"entities": rows}).json()["predictions"]]


@pytest.mark.parametrize("prefix", ["", "/v1/models/pump_repair"])
def test_mlflows_client_works_unchanged(client: httpx.Client, scores: list[float], prefix: str) -> None:
    speaker = ScoringServerClient("127.0.0.1", client.base_url.port)
    speaker.url_prefix += prefix
    speaker.ping()
    if not prefix:
        assert speaker.get_version() == mlflow.__version__
    answer = speaker.invoke(ROWS)
    assert answer.get_predictions()["score"].tolist() == scores


def _forms() -> dict[str, Any]:
    split = ROWS.to_dict(orient="split")
    records = [{name: None if value != value else value for name, value in row.items()}
               for row in ROWS.to_dict(orient="records")]  # fmt: skip
    columns = {name: [row[name] for row in records] for name in ROWS.columns}
    clean = {**split, "data": [[None if value != value else value for value in row] for row in split["data"]]}
    return {"dataframe_split": clean, "dataframe_records": records, "instances": records, "inputs": columns}


@pytest.mark.parametrize("form", _forms())
def test_every_form_of_mlflows_gives_the_same_scores(client: httpx.Client, scores: list[float], form: str) -> None:
    answer = client.post("/invocations", json={form: _forms()[form]})
    assert answer.status_code == 200, answer.text
    told = answer.json()["predictions"]
    # MLflow's server answers records to a data frame, and columns to tensors.
    found = [row["score"] for row in told] if form.startswith("dataframe") else told["score"]
    assert found == scores
    assert len(set(answer.json()["prediction_ids"])) == len(ROWS)


def test_csv_and_parquet_give_the_same_scores(client: httpx.Client, scores: list[float]) -> None:
    typed = ROWS.assign(
        event_timestamp=pd.to_datetime(ROWS["event_timestamp"]), weekday=ROWS["weekday"].astype("Int64")
    )
    for body, kind in ((ROWS.to_csv(index=False), "text/csv"), (typed.to_parquet(), "application/vnd.apache.parquet")):
        answer = client.post("/invocations", content=body, headers={"content-type": kind})
        assert answer.status_code == 200, answer.text
        assert [row["score"] for row in answer.json()["predictions"]] == scores


def test_the_form_of_an_answer_is_that_of_mlflows_own_server(client: httpx.Client, tmp_path: Any) -> None:
    from fastapi import FastAPI
    from mlflow.pyfunc.scoring_server import init

    class Same(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            count = len(model_input) if isinstance(model_input, pd.DataFrame) else len(next(iter(model_input.values())))
            column = np.full(count, 0.5)
            return pd.DataFrame({"score": column}) if isinstance(model_input, pd.DataFrame) else {"score": column}

    theirs = init(_loaded(Same()))
    assert isinstance(theirs, FastAPI)
    import asyncio

    async def ask(form: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=theirs)
        async with httpx.AsyncClient(transport=transport, base_url="http://theirs") as speaker:
            return await speaker.post("/invocations", json={form: _forms()[form]})

    for form in ("dataframe_split", "dataframe_records", "instances"):
        expected = asyncio.run(ask(form)).json()["predictions"]
        found = client.post("/invocations", json={form: _forms()[form]}).json()["predictions"]
        assert _shape(found) == _shape(expected), form


def _loaded(model: Any) -> Any:
    """A model as MLflow's server holds it: what it knows of a signature is nothing."""

    class Metadata:
        def get_input_schema(self) -> None:
            return None

        def get_params_schema(self) -> None:
            return None

    class Loaded:
        metadata = Metadata()

        def predict(self, data: Any, params: Any = None) -> Any:
            return model.predict(None, data, params)

    return Loaded()


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shape(each) for name, each in value.items()}
    return [_shape(each) for each in value] if isinstance(value, list) else type(value).__name__


def test_features_that_rows_bring_are_taken(client: httpx.Client) -> None:
    rows = [{"pump": "P0", "weekday": 1, "pump_state__temperature": 60.0, "pump_state__vibration": None}]
    (score,) = client.post("/invocations", json={"dataframe_records": rows}).json()["predictions"]
    (own,) = client.post(PREDICT, json={"features": rows}).json()["predictions"]
    assert score["score"] == own["score"]


def test_several_models_are_told_apart_by_their_path(serving: Callable[..., Any], live: LiveModel) -> None:
    from dataclasses import replace

    from mlops_platform.serving.http.service import Service
    from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT

    project = replace(PROJECT, models=(MODEL, replace(MODEL, name="other")))

    class Shared:
        def __getattr__(self, name: str) -> Any:
            return getattr(live, name)

        def close(self) -> None:
            """Leaves the model to others."""

    service = Service(project=project, models={"pump_repair": Shared(), "other": Shared()})  # type: ignore[dict-item]
    client = serving(service=service).client
    refused = client.post("/invocations", json={"dataframe_records": [{"pump": "P0", "weekday": 1}]})
    assert refused.status_code == 404
    assert "/v1/models/other/invocations" in refused.json()["required"]
    answer = client.post("/v1/models/other/invocations", json={"dataframe_records": [{"pump": "P0", "weekday": 1}]})
    assert answer.json()["model"] == "other"
