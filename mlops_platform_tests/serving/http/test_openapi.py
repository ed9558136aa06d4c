"""The service keeps what its OpenAPI document says, asked by schemathesis: seeded, and never a failure of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from mlops_platform.provenance.router import why_router
from mlops_platform.resources.home import Home
from mlops_platform_tests.lineage.pumps.project import PROJECT

PREDICT = "/v1/models/pump_repair/predict"
_CHECKED = ("GET /livez", "GET /readyz", "GET /v1/models", "GET /v1/models/{name}", f"POST {PREDICT}",
            "POST /invocations", "GET /v1/predictions/{prediction_id}", "GET /v1/predictions/{prediction_id}/why",
            "GET /metrics", "POST /v1/models/pump_repair/invocations")  # fmt: skip
_WIDER = {"POST /invocations", "POST /v1/models/pump_repair/invocations"}


@pytest.fixture(scope="module")
def client(pumps_home: Path, module_serving: Callable[..., Any]) -> httpx.Client:
    """A client of the application as a worker opens it, whose bounds are small."""
    running = module_serving(max_rows=20, max_body=100_000, routers=(why_router(Home(pumps_home), PROJECT),))
    found: httpx.Client = running.client
    return found


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> dict:
    """What ``/openapi.json`` answers."""
    found: dict = client.get("/openapi.json").json()
    return found


def test_the_document_names_every_column_with_its_type(document: dict) -> None:
    body = document["paths"][PREDICT]["post"]["requestBody"]["content"]
    assert sorted(body) == ["application/json", "application/vnd.apache.arrow.stream"]
    entities = next(form for form in body["application/json"]["schema"]["oneOf"] if form["required"] == ["entities"])
    row = entities["properties"]["entities"]["items"]
    assert row["properties"]["pump"]["type"] == "string"
    assert {"type": "null"} in row["properties"]["weekday"]["anyOf"]
    assert row["required"] == ["pump", "weekday"]


def test_every_refusal_of_a_prediction_is_in_the_document(document: dict) -> None:
    responses = document["paths"][PREDICT]["post"]["responses"]
    for status in ("400", "401", "404", "406", "408", "413", "415", "421", "422", "429", "503"):
        schema = responses[status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Refusal"}


@pytest.mark.parametrize("rest", ["", "/why"])
@pytest.mark.parametrize(
    "asked",
    ["<script>alert(1)</script>", "%3Cscript%3Ealert(1)%3C%2Fscript%3E", "%22%20onload=%22x", "..%2f..%2fetc%2fpasswd",
     "%2e%2e", "%00", "%ff%fe", "o-", "o-%0d%0aX-Evil:1", "o-99999999T999999999999-a", "o-20240229T120000000000-a/b"],
)  # fmt: skip
def test_a_hostile_id_of_an_answer_is_unknown_and_nothing_of_it_is_run(
    client: httpx.Client, asked: str, rest: str
) -> None:
    answer = client.get(f"/v1/predictions/{asked}{rest}")
    assert answer.status_code == 404
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "x-evil" not in answer.headers
    if answer.headers["content-type"].startswith("text/html"):
        assert "<script" not in answer.text and ' onload="x' not in answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_an_answer_is_as_the_document_says(document: dict, client: httpx.Client) -> None:
    schema = document["paths"][PREDICT]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    body = {"entities": [{"pump": "P0", "weekday": 1, "id": "a"}], "return_features": True}
    answer = client.post(PREDICT, json=body).json()
    Draft202012Validator({**schema, "components": document["components"]}).validate(answer)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fitting", "unfitting"])
@pytest.mark.parametrize("operation", _CHECKED)
def test_the_service_keeps_its_document(
    document: dict, client: httpx.Client, operation: str, mode: GenerationMode
) -> None:
    method, _, path = operation.partition(" ")
    (found,) = schemathesis.openapi.from_dict(document).include(method=method, path=path).get_all_operations()
    # MLflow's forms of a data frame are wider than a schema can tell: a row's columns stand beside its values.
    excluded = [positive_data_acceptance, negative_data_rejection] if operation in _WIDER else []
    statuses: set[int] = set()

    @settings(max_examples=40, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(case=found.ok().as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        answer = case.call_and_validate(base_url=str(client.base_url), timeout=20, excluded_checks=excluded)
        statuses.add(answer.status_code)

    try:
        ask()
    except Unsatisfiable:
        # Nothing of a request without parameters can be unfitting.
        assert mode is GenerationMode.NEGATIVE
        return
    assert statuses
    assert max(statuses) < 500
