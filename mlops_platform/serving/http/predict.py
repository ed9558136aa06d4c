"""``POST /v1/models/{name}/predict``: by entities, by raw rows, or by feature values; JSON or Arrow both ways."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl
from fastapi import APIRouter, Request, Response

from mlops_platform.serving.http import answers
from mlops_platform.serving.http.arrow_columns import frame_from
from mlops_platform.serving.http.asking import Asked, not_ready
from mlops_platform.serving.http.decoding import (
    ARROW,
    JSON,
    content_type,
    read_arrow,
    read_json,
    require_rows,
    rows_frame,
)
from mlops_platform.serving.http.errors import Refused, invalid, refusals, shown
from mlops_platform.serving.http.limits import Load, reading
from mlops_platform.serving.http.metrics import Metrics
from mlops_platform.serving.http.schemas import KINDS, Schemas, example
from mlops_platform.serving.http.settings import Settings
from mlops_platform.serving.http.work import Work

PREDICT_REFUSALS = (400, 401, 404, 406, 408, 413, 415, 421, 422, 429, 503)


@dataclass(frozen=True, kw_only=True)
class Served:
    """One model, with all that its routes need.

    Attributes:
        asked: The model.
        schemas: Its forms.
        settings, load, work, metrics: Of the worker.
        observe: Told the seconds of the phases ``read``, ``parse`` and ``write``.
    """

    asked: Asked
    schemas: Schemas
    settings: Settings
    load: Load
    work: Work
    metrics: Metrics
    observe: Callable[[str, float], None]

    @property
    def name(self) -> str:
        """Of the model."""
        return self.asked.model.name

    async def respond(
        self, request: Request, make: Callable[[bytes], tuple[answers.Told, bytes]], media: str
    ) -> Response:
        """Reads a body within bounds, has the answer made, and notes what was answered."""
        if not self.asked.live.ready:
            raise not_ready(str(self.asked.live.standing().get("reason") or "no version is warm"))
        started = time.perf_counter()
        request.state.model = self.name
        async with reading(request, self.settings, self.load) as body:
            self.observe("read", time.perf_counter() - started)
            # A thread waits for the disk where the log is synced before an answer is sent.
            apart = self.asked.model.serving.durability == "synced"
            # A project's function of raw rows takes tens of milliseconds, however few they are.
            apart |= b"rows" in body or request.query_params.get("kind") == "rows"
            told, content = await self.work.do(partial(make, body), len(body), apart=apart)
        request.state.version, request.state.rows = told.version, told.rows
        self.metrics.answered(self.name, told.answers)
        return Response(content, media_type=media, headers={"x-model-version": told.version})

    def answered(self, kind: str, frame: pl.DataFrame, started: float) -> answers.Told:
        """Answers a frame of a kind, and tells how long reading it took."""
        require_rows(frame.height, self.settings.max_rows)
        self.observe("parse", time.perf_counter() - started)
        return self.asked.answer(kind, frame)


def predict_router(served: Served) -> APIRouter:
    """The route of one model."""
    router = APIRouter(tags=[served.name])

    async def predict(request: Request) -> Response:
        kind = content_type(request.headers.get("content-type"), (JSON, ARROW))
        media = accepted(request.headers.get("accept"))
        query = dict(request.query_params)
        _require_query(query)
        make = partial(_by_json, served, media) if kind == JSON else partial(_by_arrow, served, media, query)
        return await served.respond(request, make, media)

    router.add_api_route(
        f"/v1/models/{served.name}/predict", predict, methods=["POST"], name=f"predict_{served.name}",
        operation_id=f"predict_{served.name}", summary=f"Predictions of {served.name}",
        description=served.asked.model.description, response_model=served.schemas.answer,
        responses={**refusals(*PREDICT_REFUSALS, 501), 200: {"content": {ARROW: {"schema": _BINARY}},
                                                        "description": "A prediction for each row, in order."}},
        openapi_extra=_request(served),
    )  # fmt: skip
    return router


_NOT_TAKEN = re.compile(r"q=0(\.0*)?")
_BINARY = {"type": "string", "format": "binary"}


def _request(served: Served) -> dict[str, Any]:
    shown_example = {"entities": [example(served.schemas.entities)], "return_features": True}
    content = {JSON: {"schema": served.schemas.request, "example": shown_example}, ARROW: {"schema": _BINARY}}
    parameters = [
        {"name": "kind", "in": "query", "required": False, "schema": {"type": "string", "enum": list(KINDS)},
         "description": "of an Arrow body, where its schema's metadata does not say"},
        {"name": "return_features", "in": "query", "required": False, "description": "of an Arrow body",
         "schema": {"type": "string", "enum": ["true", "false"]}},
    ]  # fmt: skip
    return {"requestBody": {"required": True, "content": content}, "parameters": parameters}


def _require_query(query: dict[str, str]) -> None:
    """Refuses values of the query that the route does not know, whatever the form of the body."""
    for name, known in (("kind", KINDS), ("return_features", ("true", "false"))):
        if query.get(name, known[0]) not in known:
            raise invalid(name, f"one of {', '.join(known)}", shown(query[name]))


def accepted(header: str | None) -> str:
    """The form of the answer that a caller takes: Arrow where it is named, else JSON.

    Raises:
        Refused: 406 where it takes neither.
    """
    parts = [part.lower().replace(" ", "").split(";") for part in (header or "*/*").split(",")]
    # A weight of 0 says what is not taken.
    kinds = {kind for kind, *told in parts if not any(_NOT_TAKEN.fullmatch(each) for each in told)}
    if ARROW in kinds:
        return ARROW
    if kinds & {JSON, "*/*", "application/*", ""}:
        return JSON
    raise Refused(406, "accept", required=f"Accept {JSON} or {ARROW}", found=shown(header), remedy="take one of them")


def _by_json(served: Served, media: str, body: bytes) -> tuple[answers.Told, bytes]:
    started = time.perf_counter()
    found = read_json(body)
    features = found.pop("return_features", False)
    if type(features) is not bool:
        raise invalid("return_features", "true or false", shown(features))
    if len(found) != 1 or next(iter(found)) not in KINDS:
        raise invalid("the body", f"an object with exactly one of {', '.join(KINDS)}, and return_features or not",
                      shown(sorted(found)))  # fmt: skip
    ((kind, rows),) = found.items()
    frame = rows_frame(served.schemas.columns(kind), rows, kind, served.settings.max_rows)
    return _written(served, served.answered(kind, frame, started), media, features)


def _by_arrow(served: Served, media: str, query: dict[str, str], body: bytes) -> tuple[answers.Told, bytes]:
    started = time.perf_counter()
    frame, metadata = read_arrow(body)
    kind = query.get("kind", metadata.get("kind"))
    if kind not in KINDS:
        raise invalid("kind", f"one of {', '.join(KINDS)}", shown(kind), "add ?kind=entities, or schema metadata kind")
    features = query.get("return_features", metadata.get("return_features", "false"))
    if features not in ("true", "false"):
        raise invalid("return_features", "true or false", shown(features))
    if frame.is_empty():
        raise invalid(kind, "at least one row", "none")
    require_rows(frame.height, served.settings.max_rows)
    typed = frame_from(served.schemas.columns(kind), frame, kind)
    return _written(served, served.answered(kind, typed, started), media, features == "true")


def _written(served: Served, told: answers.Told, media: str, features: bool) -> tuple[answers.Told, bytes]:
    started = time.perf_counter()
    if media == JSON:
        content = answers.as_json(told, features=features)
    else:
        metadata = {"model": told.model, "version": told.version, "checkpoint": told.checkpoint}
        content = answers.as_arrow(answers.as_frame(told, features=features), metadata)
    served.observe("write", time.perf_counter() - started)
    return told, content
