"""``why`` over HTTP: JSON for programs, a page for people. ``cli`` puts these routes beside those that answer."""

from collections.abc import Callable
from typing import Any, Literal

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from mlops_platform.errors import MissingArtifactError, PlatformError
from mlops_platform.provenance.logged import UnknownPredictionError
from mlops_platform.provenance.page import error_page, page
from mlops_platform.provenance.walk import Why, as_json, why
from mlops_platform.resources.home import Home
from mlops_platform.spec import Project

_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}  # fmt: skip
_ID = Path(description="As the answer told it: o-... of a live answer, p-... of a batch.")


class Untold(BaseModel):
    """Why an answer cannot be explained."""

    required: str = Field(description="What was needed.")
    found: str = Field(description="What there is instead.")
    remedy: str = Field(description="What to do about it.")


class Rows(BaseModel):
    """Raw rows, by the file they came in."""

    table: str
    version: int = Field(description="Delta version of the raw table.")
    files: list[dict[str, Any]] = Field(description="Name, digest, and row numbers from 0, of each file.")


class Row(BaseModel):
    """A feature row that the model was given."""

    view: str
    version: int | None = Field(
        description="Delta version of the feature table; null where no recorded one has the row."
    )
    digest: str | None
    keys: dict[str, Any]
    event_timestamp: str | None = Field(description="When it was true, ISO 8601 in UTC.")
    known_timestamp: str | None = Field(description="When it could be known, ISO 8601 in UTC.")
    values: dict[str, Any]
    source: Rows | None
    recomputed_equal: bool | None = Field(description="Whether computing it again from its raw rows gives equal bits.")
    status: str = Field(description="present, missing, stale or later.")
    marks: dict[str, str]
    as_answered: bool | None = Field(
        description="Of a live answer: whether the table's row holds what was answered from."
    )


class Explanation(BaseModel):
    """Everything behind one answer. Manifests are as the artifact store has them."""

    model_config = ConfigDict(title="Explanation")

    prediction: dict[str, Any] = Field(description="The answer's row in the prediction log.")
    mode: Literal["batch", "online"]
    role: Literal["champion", "canary", "shadow"]
    inputs: dict[str, Any] = Field(description="What was asked.")
    features_read: dict[str, Any] = Field(description="Every value that the model was given.")
    moves: list[dict[str, Any]] = Field(description="Decisions about the version, oldest first.")
    checkpoint: dict[str, Any] | None = Field(description="Null where it was removed; `missing` says so.")
    dataset: dict[str, Any] | None = Field(description="Null where it was removed; `missing` says so.")
    evaluation: dict[str, Any] | None
    verdict: dict[str, Any] | None
    tuning: dict[str, Any] | None
    starts: list[dict[str, Any]]
    example: Rows | None = Field(description="The raw rows the question came from; null where a caller asked.")
    features: list[Row]
    runs: list[dict[str, Any]] = Field(description="Makings of artifacts, with links to Dagster and MLflow.")
    links: dict[str, str]
    missing: list[str] = Field(description="What is not recorded, in words.")
    digests: dict[str, str | None]


_REFUSALS: dict[int | str, dict[str, Any]] = {
    404: {"model": Untold, "description": "No such answer."},
    410: {"model": Untold, "description": "The files of a table that the answer rests on are gone."},
    503: {"model": Untold, "description": "What the answer rests on was edited, or cannot be read."},
}
_PAGES: dict[int | str, dict[str, Any]] = {
    status: {"description": told["description"], "content": {"text/html": {}}} for status, told in _REFUSALS.items()
}


def why_router(home: Home, project: Project) -> APIRouter:
    """The routes that explain answers, from the home alone.

    Args:
        home: Where everything is recorded.
        project: The declaration.
    """
    router = APIRouter(prefix="/v1/predictions", tags=["why"])

    def answered(prediction_id: str, response: type[Response], told: Callable[[Why], Any],
                 error_told: Callable[[PlatformError], Any]) -> Response:  # fmt: skip
        """The walk, or why there is none, in the form of one route."""
        try:
            return response(told(why(home, project, prediction_id)), headers=_HEADERS)
        except PlatformError as error:
            status, shown = _refused(home, error)
            return response(error_told(shown), status_code=status, headers=_HEADERS)

    @router.get("/{prediction_id}/why", response_model=Explanation, responses=_REFUSALS,
                summary="Walk an answer back to its model, feature rows and source files")  # fmt: skip
    def explain(prediction_id: str = _ID) -> Response:
        return answered(prediction_id, JSONResponse, as_json, _error_json)

    @router.get("/{prediction_id}", response_class=HTMLResponse, responses=_PAGES,
                summary="The same walk as a page for people")  # fmt: skip
    def show(prediction_id: str = _ID) -> Response:
        return answered(prediction_id, HTMLResponse, page, error_page)

    return router


def _error_json(error: PlatformError) -> dict[str, str]:
    return {"required": error.required, "found": error.found, "remedy": error.remedy}


def _refused(home: Home, error: PlatformError) -> tuple[int, PlatformError]:
    """Status of an error, and the error without the folders of this machine."""
    status = (
        404 if isinstance(error, UnknownPredictionError) else 410 if isinstance(error, MissingArtifactError) else 503
    )
    where = f"{home.root}/"
    required, found, remedy = (text.replace(where, "") for text in (error.required, error.found, error.remedy))
    return status, PlatformError(required=required, found=found, remedy=remedy)
