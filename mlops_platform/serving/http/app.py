"""The application: every route, and the layers that each request passes."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from mlops_platform.errors import PlatformError
from mlops_platform.serving.http import errors
from mlops_platform.serving.http.asking import Asked
from mlops_platform.serving.http.auth import Guarded
from mlops_platform.serving.http.decoding import JSON
from mlops_platform.serving.http.health import health_router
from mlops_platform.serving.http.limits import Bounded, Load
from mlops_platform.serving.http.logs import Told
from mlops_platform.serving.http.metrics import CONTENT_TYPE, Metrics
from mlops_platform.serving.http.mlflow_protocol import mlflow_router
from mlops_platform.serving.http.models import models_router
from mlops_platform.serving.http.page import page_router
from mlops_platform.serving.http.predict import Served, predict_router
from mlops_platform.serving.http.schemas import schemas
from mlops_platform.serving.http.service import Service
from mlops_platform.serving.http.settings import Settings
from mlops_platform.serving.http.tracing import Traced, Tracing
from mlops_platform.serving.http.work import Work

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0


def create_app(service: Service, *, routers: Sequence[APIRouter] = (), settings: Settings | None = None,
               metrics: Metrics | None = None, tracing: Tracing | None = None) -> ASGIApp:  # fmt: skip
    """The service as an ASGI application.

    Args:
        service: The models; closed when the application ends.
        routers: Further routes, as those that explain an answer; they are guarded and measured alike.
        settings: Bounds and access; by default anyone who reaches it is let in.
        metrics: Where figures go.
        tracing: Where spans go; None: nowhere.
    """
    settings, metrics, load = settings or Settings(), metrics or Metrics(), Load()
    work = Work(settings, load)
    served = {name: _served(service, name, settings, metrics, load, work, tracing) for name in service.models}
    api = FastAPI(
        title=f"{service.project.name}: predictions", docs_url=None, redoc_url=None, version="1",
        description="Live predictions of the champions, each with an id by which it is explained.",
        lifespan=lambda _: _alive(service, metrics, load, work, tracing), exception_handlers=_handlers(),
        separate_input_output_schemas=False, redirect_slashes=False,
    )  # fmt: skip
    for each in served.values():
        api.include_router(predict_router(each))
    api.include_router(mlflow_router(service, served))
    # Its last route answers whatever else is asked of a model.
    api.include_router(models_router(service))
    api.include_router(health_router(service))
    api.include_router(_metrics_router(metrics, load))
    api.include_router(page_router(served, service))
    for router in routers:
        api.include_router(router)
    api.openapi = partial(_document, api, service)  # type: ignore[method-assign]
    guarded: ASGIApp = Guarded(Bounded(api, settings, load), settings)
    return Told(Traced(guarded, tracing) if tracing is not None else guarded, settings, metrics)


def _handlers() -> dict[int | type[Exception], errors.Handler]:
    return {
        errors.Refused: errors.tell_refused, HTTPException: errors.tell_http, PlatformError: _tell_platform,
        RequestValidationError: errors.tell_validation, Exception: errors.tell_failure,
    }  # fmt: skip


def _document(api: FastAPI, service: Service) -> dict[str, Any]:
    """What OpenAPI says, with the newest examples: they are found while the service answers already."""
    found = FastAPI.openapi(api)
    for name, body in service.examples.items():
        asked = found["paths"][f"/v1/models/{name}/predict"]["post"]["requestBody"]
        asked["content"][JSON]["example"] = {**body, "return_features": True}
    return found


async def _tell_platform(request: Request, error: Exception) -> JSONResponse:
    """Answers what the service cannot do now, as where a store does not answer; the log says what."""
    request.state.reason = "unavailable"
    number = request.state.request_id
    _LOG.error("request %s could not be answered: %s", number, type(error).__name__, exc_info=error)
    told = errors.Refused(
        503, "unavailable", required="a working store, log and model behind the service",
        found=f"{type(error).__name__} in request {number}", remedy="ask again; its log tells more under this id",
        headers={"retry-after": str(errors.RETRY_SECONDS)},
    )  # fmt: skip
    return errors.response(told)


def _served(service: Service, name: str, settings: Settings, metrics: Metrics, load: Load, work: Work,
            tracing: Tracing | None) -> Served:  # fmt: skip
    model = service.declared(name)
    observe = metrics.phase(name)
    return Served(
        asked=Asked(project=service.project, model=model, live=service.models[name]),
        schemas=schemas(service.project, model, settings.max_rows), settings=settings, load=load, work=work,
        metrics=metrics, observe=tracing.phase(observe) if tracing is not None else observe,
    )  # fmt: skip


def _metrics_router(metrics: Metrics, load: Load) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/metrics", summary="Figures of all workers, for Prometheus", responses=errors.refusals(401, 421),
                response_class=Response)  # fmt: skip
    async def tell() -> Response:
        metrics.load(load)
        return Response(await asyncio.to_thread(metrics.text), headers={"content-type": CONTENT_TYPE})

    return router


@contextlib.asynccontextmanager
async def _alive(service: Service, metrics: Metrics, load: Load, work: Work, tracing: Tracing | None
                 ) -> AsyncIterator[None]:  # fmt: skip
    """While the application runs its standing is measured; when it ends everything is closed."""

    def look() -> None:
        for name, live in service.models.items():
            metrics.standing(name, live.ready, live.standing())
        metrics.load(load)

    async def looking() -> None:
        while True:
            look()
            await asyncio.sleep(_LOOK_SECONDS)

    task = asyncio.create_task(looking())
    try:
        yield
    finally:
        task.cancel()
        work.close()
        service.close()
        if tracing is not None:
            tracing.close()
