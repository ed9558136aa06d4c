"""What an operator sees: metrics, health, traces, and what the service says when something behind it fails."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mlops_platform.errors import PlatformError, StoreError
from mlops_platform.serving.http.tracing import Tracing, is_asked, require_exporter
from mlops_platform.serving.live import LiveModel

PREDICT = "/v1/models/pump_repair/predict"
ENTITIES = {"entities": [{"pump": "P0", "weekday": 1, "event_timestamp": "2024-05-09T07:00:00Z"},
                         {"pump": "PX", "weekday": 1, "event_timestamp": "2024-05-09T07:00:00Z"}]}  # fmt: skip


class Changed:
    """A live model of which something is otherwise."""

    def __init__(self, live: LiveModel, **changed: Any) -> None:
        self._live = live
        self.__dict__.update(changed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._live, name)

    def close(self) -> None:
        """Leaves the model to others."""


def figures(client: httpx.Client) -> dict[str, float]:
    """Every figure by its name and labels."""
    found = client.get("/metrics")
    assert found.headers["content-type"].startswith("text/plain")
    return {name: float(value) for name, value in re.findall(r"^(mlops_[^ ]+) (\S+)$", found.text, re.MULTILINE)}


def test_metrics_tell_requests_phases_feature_age_version_and_refusals(serving: Callable[..., Any]) -> None:
    client = serving().client
    # Feast, once imported, has a process's metrics counted over all its services.
    before = figures(client)
    assert client.post(PREDICT, json=ENTITIES).status_code == 200
    client.post(PREDICT, json={})
    client.post(f"/v1/models/{'a' * 40}/predict", json={})
    after = figures(client)
    more = {name: value - before.get(name, 0) for name, value in after.items()}
    assert more[f'mlops_requests_total{{method="POST",route="{PREDICT}",status="200"}}'] == 1
    assert more['mlops_requests_refused_total{reason="invalid"}'] == 1
    # The second request of the model was refused when it had been read.
    for phase, count in (("read", 2), ("parse", 1), ("write", 1)):
        assert more[f'mlops_phase_seconds_count{{model="pump_repair",phase="{phase}"}}'] == count
    statuses = 'mlops_feature_rows_total{{model="pump_repair",status="{}",table="pump_state"}}'
    assert more[statuses.format("present")] == more[statuses.format("missing")] == 1
    assert more['mlops_feature_age_seconds_count{model="pump_repair",table="pump_state"}'] == 1
    assert after['mlops_workers_ready{model="pump_repair"}'] == 1
    infos = {value for name, value in after.items() if name.startswith("mlops_model_info") and 'version="1"' in name}
    assert infos == {1}
    # However many names callers make up, there are no more routes.
    assert not any("aaaa" in name for name in after)


def test_a_swap_and_a_refused_version_are_counted_once(live: LiveModel) -> None:
    from mlops_platform.serving.http.metrics import Metrics

    metrics = Metrics()
    before = {"version": "1", "checkpoint": "a", "refused": None, "swaps": 0}
    after = {"version": "2", "checkpoint": "b", "refused": {"version": "3"}, "swaps": 1}
    for told in (before, before, after, after):
        metrics.standing("m", True, told)
    text = metrics.text().decode()
    assert 'mlops_swaps_total{model="m"} 1.0' in text
    assert 'mlops_versions_refused_total{model="m"} 1.0' in text
    assert 'mlops_model_info{checkpoint="a",model="m",version="1"} 0.0' in text
    assert 'mlops_model_info{checkpoint="b",model="m",version="2"} 1.0' in text


def test_health_tells_the_truth(serving: Callable[..., Any], live: LiveModel) -> None:
    cold = serving(Changed(live, ready=False, standing=lambda: {"reason": "no champion yet"})).client
    assert cold.get("/readyz").json() == {"ready": False, "reasons": ["pump_repair: no champion yet"]}
    assert cold.get("/livez").status_code == 200
    refused = cold.post(PREDICT, json=ENTITIES)
    assert (refused.status_code, refused.json()["found"]) == (503, "no champion yet")
    assert int(refused.headers["retry-after"]) >= 1
    deaf = serving(Changed(live, following=False)).client
    assert deaf.get("/livez").status_code == 503
    assert "pump_repair" in deaf.get("/livez").json()["reasons"][0]


@pytest.mark.parametrize(
    ("error", "status"),
    [(StoreError(required="a store", found="/secret/path is gone", remedy="mend it"), 503),
     (RuntimeError("the value SECRET"), 500)],
)  # fmt: skip
def test_a_failure_behind_the_service_is_told_without_its_words(
    serving: Callable[..., Any], live: LiveModel, error: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(question: Any) -> Any:
        raise error

    client = serving(Changed(live, answer=answer)).client
    refused = client.post(PREDICT, json=ENTITIES, headers={"x-request-id": "mine"})
    assert refused.status_code == status
    assert sorted(refused.json()) == ["found", "remedy", "required"]
    assert "mine" in refused.json()["found"]
    assert "secret" not in refused.text.lower()


def test_traces_are_off_unless_the_environment_asks() -> None:
    assert not is_asked({})
    assert not is_asked({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"})
    assert not is_asked({"OTEL_TRACES_EXPORTER": "none"})
    assert is_asked({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"})
    assert Tracing.from_environment() is None


def test_traces_that_cannot_be_sent_are_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    require_exporter()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(PlatformError, match="http/protobuf"):
        require_exporter()
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_PROTOCOL")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PlatformError, match=r"mlops-platform\[tracing\]"):
        require_exporter()


def test_a_request_is_a_span_in_its_callers_trace_with_one_for_each_phase(serving: Callable[..., Any]) -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    client = serving(tracing=Tracing(provider), inline=0).client
    client.post(PREDICT, json=ENTITIES, headers={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})
    spans = {span.name: span for span in exporter.get_finished_spans()}
    request = spans[f"POST {PREDICT}"]
    assert request.context.trace_id == int("ab" * 16, 16)
    assert request.attributes["http.response.status_code"] == 200
    assert (request.attributes["mlops.model"], request.attributes["mlops.rows"]) == ("pump_repair", 2)
    for phase in ("read", "parse", "write"):
        assert spans[phase].parent.span_id == request.context.span_id
