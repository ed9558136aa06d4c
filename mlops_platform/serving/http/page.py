"""``/docs``: every route, column, type and bound on one page that needs nothing from elsewhere."""

import json
import shlex
from collections.abc import Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from mlops_platform.serving.http.columns import Given, needed
from mlops_platform.serving.http.predict import Served
from mlops_platform.serving.http.schemas import KINDS, example
from mlops_platform.serving.http.service import Service

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1d2433;background:#fff}
h1{font-size:1.6rem}h2{margin-top:2.5rem;border-bottom:1px solid #d5dbe5;padding-bottom:.3rem}h3{margin:1.5rem 0 .4rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #e8ecf2;
vertical-align:top}th{font-weight:600;background:#f5f7fa}code,pre{font:13px/1.45 ui-monospace,monospace}
pre{background:#f5f7fa;padding:.8rem;overflow:auto;border-radius:6px}.verb{font-weight:700;color:#0b6b4f}
.note{color:#5b6577}summary{cursor:pointer;font-weight:600;margin:.6rem 0}
@media(prefers-color-scheme:dark){body{background:#14181f;color:#dfe5ee}th,pre{background:#1e242e}
td,th,h2{border-color:#2c3441}.note{color:#9aa6b8}.verb{color:#4fc79d}}
"""
_KINDS = {
    "entities": "By entity keys: features are fetched from the online store.",
    "rows": "By raw rows: the project's own function makes the questions, as in batch.",
    "features": "By entity keys and the values of every feature.",
}
_POLICY = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "x-frame-options": "DENY", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
}  # fmt: skip


def page_router(served: Mapping[str, Served], service: Service) -> APIRouter:
    """The page, with examples that the service has; the same in a form for programs is ``/openapi.json``."""
    router = APIRouter()

    @router.get("/docs", include_in_schema=False)
    @router.get("/", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        return HTMLResponse(_page(request, served, service), headers=_POLICY)

    return router


def _page(request: Request, served: Mapping[str, Served], service: Service) -> str:
    title = escape(f"{request.app.title}")
    address = str(request.base_url).rstrip("/")
    models = "".join(_model(each, address, service.examples.get(name)) for name, each in served.items())
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1><p class=note>{escape(request.app.description)} "
        f"For programs: <a href=/openapi.json>/openapi.json</a></p>{models}<h2>All paths</h2>{_paths(request)}"
        f"<h2>Refusals</h2><p>Every answer that is no success is JSON of three texts: <code>required</code>, "
        f"<code>found</code> and <code>remedy</code>.</p>"
    )


def _model(served: Served, address: str, found: Mapping[str, Any] | None) -> str:
    name = escape(served.name)
    body = shlex.quote(
        json.dumps({**(found or {"entities": [example(served.schemas.entities)]}), "return_features": True})
    )
    token = " \\\n  -H 'Authorization: Bearer TOKEN'" if served.settings.tokens else ""
    path = f"{address}/v1/models/{served.name}/predict{token}"
    call = f"curl {path} \\\n  -H 'Content-Type: application/json' \\\n  -d {body}"
    limits = f"At most {served.settings.max_rows:,} rows and {served.settings.max_body:,} bytes a request."
    kinds = "".join(
        f"<details{' open' if kind == 'entities' else ''}><summary>{kind}</summary><p>{_KINDS[kind]}</p>"
        f"{_columns(served.schemas.columns(kind))}</details>"
        for kind in KINDS
    )
    return (
        f"<h2>{name}</h2><p>{escape(served.asked.model.description)}</p><p><span class=verb>POST</span> "
        f"<code>/v1/models/{name}/predict</code> JSON, or an Arrow IPC stream. <span class=note>{limits}</span></p>"
        f"<pre>{escape(call)}</pre><h3>Exactly one of</h3>{kinds}"
    )


def _columns(columns: tuple[Given, ...]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(c.name)}</code></td><td>{escape(needed(c))}</td>"
        f"<td>{'yes' if c.required else 'no'}</td>"
        f"<td class=note>{escape(c.told)}</td></tr>"
        for c in columns
    )
    return f"<table><tr><th>column<th>value<th>must be named<th></tr>{rows}</table>"


def _paths(request: Request) -> str:
    rows = "".join(
        f"<tr><td class=verb>{verb.upper()}</td><td><code>{escape(path)}</code></td>"
        f"<td>{escape(told.get('summary', ''))}</td></tr>"
        for path, verbs in request.app.openapi()["paths"].items()
        for verb, told in verbs.items()
    )
    return f"<table>{rows}</table>"
