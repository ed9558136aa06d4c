"""``GET /v1/models``: what is live of each served model."""

from typing import Any, NoReturn

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from mlops_platform.serving.http.errors import Refused, refusals, shown
from mlops_platform.serving.http.schemas import Models, Standing
from mlops_platform.serving.http.service import Service

_POSTED = frozenset({"predict", "invocations"})
_REFUSED = refusals(401, 404, 421)


def standing(service: Service, name: str) -> dict[str, Any]:
    """What is live of a model, in the worker that answers."""
    live = service.models[name]
    return {"model": name, "ready": live.ready, **live.standing()}


def models_router(service: Service) -> APIRouter:
    """The standing of each model, and the answer to whoever asks for another."""
    router = APIRouter(tags=["models"])

    @router.get("/v1/models", response_model=Models, responses=_REFUSED, summary="What is live of every model")
    async def every() -> JSONResponse:
        return JSONResponse({"models": [standing(service, name) for name in service.models]})

    @router.get("/v1/models/{name}", response_model=Standing, responses=_REFUSED, summary="What is live of a model")
    async def one(name: str) -> JSONResponse:
        if name not in service.models:
            _unknown(service, name)
        return JSONResponse(standing(service, name))

    async def unknown(name: str, rest: str) -> NoReturn:
        _unknown(service, name, rest)

    router.add_api_route("/v1/models/{name}/{rest:path}", unknown, methods=["GET", "POST"], response_model=None,
                         include_in_schema=False)  # fmt: skip
    return router


def _unknown(service: Service, name: str, rest: str = "") -> NoReturn:
    served = ", ".join(service.models)
    if name in service.models and rest in _POSTED:
        raise Refused(405, "method", required="POST", found="another method", remedy="see /docs",
                      headers={"allow": "POST"})  # fmt: skip
    if name in service.models:
        raise Refused(404, "not_found", required="a path of this service", found=shown(f"/v1/models/{name}/{rest}"),
                      remedy="see /docs")  # fmt: skip
    raise Refused(404, "model", required=f"one of the models {served}", found=shown(name),
                  remedy="name one of them, or start mlops serve with it")  # fmt: skip
