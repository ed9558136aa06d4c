"""OpenTelemetry traces: off unless the environment asks for them, as OpenTelemetry's own variables do."""

import importlib.util
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlops_platform.errors import PlatformError

_ASKED = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")
Observe = Callable[[str, float], None]


def is_asked(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment turns traces on."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    return environment.get("OTEL_TRACES_EXPORTER") != "none" and any(environment.get(name) for name in _ASKED)


def require_exporter() -> None:
    """Refuses to begin where the environment asks for traces that cannot be sent.

    Raises:
        PlatformError: The extra is not installed, or another exporter or protocol is asked for.
    """
    if not is_asked():
        return
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "otlp")
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    if exporter != "otlp" or protocol != "http/protobuf":
        raise PlatformError(
            required="traces sent by OTLP over http/protobuf", found=f"exporter {exporter}, protocol {protocol}",
            remedy="unset OTEL_TRACES_EXPORTER and OTEL_EXPORTER_OTLP_PROTOCOL, or use a collector that takes it",
        )  # fmt: skip
    try:
        found = importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise PlatformError(
            required="OpenTelemetry's exporter, since OTEL_* variables ask for traces",
            found="no module opentelemetry.exporter.otlp.proto.http",
            remedy="pip install 'mlops-platform[tracing]', or set OTEL_SDK_DISABLED=true",
        )


class Tracing:
    """Spans of requests and of their phases."""

    def __init__(self, provider: Any) -> None:
        """Takes OpenTelemetry's tracer provider."""
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.provider = provider
        self.tracer = provider.get_tracer("mlops_platform.serving")
        self.propagator = TraceContextTextMapPropagator()

    @classmethod
    def from_environment(cls) -> "Tracing | None":
        """Spans sent by OTLP over HTTP, where the environment asks; else None.

        Raises:
            PlatformError: See ``require_exporter``.
        """
        if not is_asked():
            return None
        require_exporter()
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        name = os.environ.get("OTEL_SERVICE_NAME", "mlops-serve")
        provider = TracerProvider(resource=Resource.create({"service.name": name}))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider)

    def phase(self, observe: Observe) -> Observe:
        """A function that also makes a span of each phase, within the request's."""

        def observed(phase: str, seconds: float) -> None:
            ended = time.time_ns()
            self.tracer.start_span(phase, start_time=ended - int(seconds * 1e9)).end(ended)
            observe(phase, seconds)

        return observed

    def close(self) -> None:
        """Sends what is left."""
        self.provider.shutdown()


class Traced:
    """A span for each request, in the trace that its ``traceparent`` names."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app, self._tracing = app, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        from opentelemetry.trace import SpanKind

        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
                   if name in (b"traceparent", b"tracestate")}  # fmt: skip
        context = self._tracing.propagator.extract(carrier)
        with self._tracing.tracer.start_as_current_span(scope["method"], context, SpanKind.SERVER) as span:

            async def sending(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            await self._app(scope, receive, sending)
            route = getattr(scope.get("route"), "path", "other")
            span.update_name(f"{scope['method']} {route}")
            span.set_attributes({"http.request.method": scope["method"], "http.route": route})
            state = scope.get("state", {})
            span.set_attributes(
                {f"mlops.{name}": state[name] for name in ("model", "version", "rows") if name in state}
            )
