"""Whether a worker lives, and whether it may be asked."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from mlops_platform.serving.http.errors import RETRY_SECONDS
from mlops_platform.serving.http.service import Service


class Health(BaseModel):
    """The state of the worker that answered."""

    model_config = ConfigDict(extra="forbid")

    ready: bool
    reasons: list[str] = Field(description="why it is not")


def reasons(service: Service) -> list[str]:
    """Why a worker may not be asked; none where it may."""
    found = ["the worker was asked to stop"] if service.draining else []
    for name, live in service.models.items():
        if not live.ready:
            found.append(f"{name}: {live.standing().get('reason') or 'no version is warm'}")
    return found


def health_router(service: Service) -> APIRouter:
    """``/livez`` and ``/readyz``."""
    router = APIRouter(tags=["health"])
    unhealthy: dict[int | str, dict[str, Any]] = {
        503: {"model": Health, "description": "It does not; reasons say why."}
    }

    @router.get("/livez", response_model=Health, responses=unhealthy, summary="Whether the worker lives")
    async def livez() -> JSONResponse:
        # That this is answered says that the event loop runs.
        stopped = [name for name, live in service.models.items() if not live.following]
        dead = [f"{name}: the thread that looks for new versions has ended" for name in stopped]
        return JSONResponse({"ready": not dead, "reasons": dead}, status_code=503 if dead else 200)

    @router.get("/readyz", response_model=Health, responses=unhealthy, summary="Whether it may be asked")
    async def readyz() -> JSONResponse:
        why = reasons(service)
        headers = {"retry-after": str(RETRY_SECONDS)} if why else None
        return JSONResponse({"ready": not why, "reasons": why}, status_code=503 if why else 200, headers=headers)

    return router
