"""Refusals: what a caller did that cannot be answered, as JSON of what was required, found, and to do."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from mlops_platform.errors import PlatformError

RETRY_SECONDS = 1
_LONGEST = 300
_KINDS = {404: "a path of this service", 405: "a method that this path takes"}


class Refused(PlatformError):
    """A request that is not answered.

    Attributes:
        status: HTTP status, 4xx, 501 or 503.
        reason: One word for metrics and logs; it holds nothing of the request.
        headers: Further headers of the answer.
    """

    def __init__(
        self, status: int, reason: str, *, required: str, found: str, remedy: str, headers: Mapping[str, str] = {}
    ) -> None:
        self.status, self.reason, self.headers = status, reason, dict(headers)
        super().__init__(required=required, found=found, remedy=remedy)


class Refusal(BaseModel):
    """Body of every answer that is no success."""

    model_config = ConfigDict(extra="forbid", title="Refusal")

    required: str = Field(description="What the service needed.")
    found: str = Field(description="What it met instead.")
    remedy: str = Field(description="What to do about it.")


def invalid(
    place: str, required: str, found: str, remedy: str = "see /docs for the columns, types and bounds"
) -> Refused:
    """A value of the body that does not fit its column."""
    return Refused(422, "invalid", required=f"{place} to be {required}", found=found, remedy=remedy)


def malformed(required: str, found: str, remedy: str) -> Refused:
    """A body that cannot be read at all."""
    return Refused(400, "malformed", required=required, found=found, remedy=remedy)


def shown(value: Any) -> str:
    """A value of the caller's, short, for the caller alone."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def response(error: PlatformError, status: int | None = None) -> JSONResponse:
    """The answer that tells an error."""
    told = {"required": error.required, "found": error.found, "remedy": error.remedy}
    # It repeats what was asked: a browser is not to take that for a page.
    headers = {"x-content-type-options": "nosniff", **(error.headers if isinstance(error, Refused) else {})}
    code = status if status is not None else error.status if isinstance(error, Refused) else 500
    return JSONResponse({name: text[:_LONGEST] for name, text in told.items()}, status_code=code, headers=headers)


Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]


async def tell_refused(request: Request, error: Exception) -> JSONResponse:
    """Answers a refusal."""
    assert isinstance(error, Refused)
    request.state.reason = error.reason
    return response(error)


async def tell_http(request: Request, error: Exception) -> JSONResponse:
    """Answers what the router refuses by itself."""
    assert isinstance(error, HTTPException)
    request.state.reason = "not_found" if error.status_code == 404 else "refused"
    told = Refused(
        error.status_code, request.state.reason, required=_KINDS.get(error.status_code, "a valid request"),
        found=f"{request.method} {shown(request.url.path)}", remedy="see /docs", headers=dict(error.headers or {}),
    )  # fmt: skip
    return response(told)


async def tell_validation(request: Request, error: Exception) -> JSONResponse:
    """Answers a parameter of a wrong type."""
    request.state.reason = "invalid"
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place, found = ".".join(map(str, first["loc"])), shown(first["msg"])
    return response(invalid(place, "as /docs says", found))


async def tell_failure(request: Request, error: Exception) -> JSONResponse:
    """Answers a failure of the service itself; what failed is in its log, under the request's id."""
    request.state.reason = "failed"
    number = getattr(request.state, "request_id", "")
    told = PlatformError(
        required="the service to answer", found=f"{type(error).__name__} in it, request {number}",
        remedy="try again; its log tells more under this request id",
    )  # fmt: skip
    return response(told, 500)


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of refusals."""
    meaning = {
        400: "The body cannot be read.", 401: "No token, or none that is known.", 404: "No such model.",
        406: "No such form of an answer.", 408: "The request came too slowly.", 411: "No length.",
        413: "The body, or its number of rows, is too large.", 415: "A body of another type.",
        421: "A Host that is not this service's.", 422: "A value does not fit its column.",
        429: "Too many requests at a time; Retry-After says when.", 431: "Headers are too large.",
        501: "The project's own function makes no questions of rows; other kinds are answered.",
        503: "The model is not ready; Retry-After says when to ask again.",
    }  # fmt: skip
    return {status: {"model": Refusal, "description": meaning[status]} for status in statuses}
