"""MLflow's scoring protocol, so that its clients and whoever spoke to ``mlflow models serve`` need no change.

Source: mlflow.pyfunc.scoring_server of MLflow 3.17. Rows are those of our ``entities``, or of our ``features`` where
they bring feature columns. Answers have its form for a model whose one output is ``score``: records for a data frame,
columns for ``instances`` and ``inputs``; ids and version stand beside ``predictions``, where no client looks.
Its clients write pandas' missing values as NaN: here alone NaN is read, as null.
"""

import importlib.metadata
import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from typing import Any

import polars as pl
from fastapi import APIRouter, Request, Response

from mlops_platform.serving.http import answers
from mlops_platform.serving.http.arrow_columns import frame_from
from mlops_platform.serving.http.asking import not_ready
from mlops_platform.serving.http.columns import WORDS, Given, frame_of, require_names
from mlops_platform.serving.http.decoding import JSON, content_type, read_json, require_rows
from mlops_platform.serving.http.errors import Refused, invalid, malformed, refusals, shown
from mlops_platform.serving.http.predict import PREDICT_REFUSALS, Served
from mlops_platform.serving.http.service import Service

CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_AS_FRAME = frozenset({"dataframe_split", "dataframe_records"})
_TRUE = {"true": True, "True": True, "false": False, "False": False}


def mlflow_router(service: Service, served: Mapping[str, Served]) -> APIRouter:
    """``/ping``, ``/health``, ``/version`` and ``/invocations``; of each model also under ``/v1/models/{name}``."""
    router = APIRouter(tags=["MLflow's protocol"])
    version = importlib.metadata.version("mlflow")

    async def tell_version() -> Response:
        return Response(version, media_type=JSON)

    router.add_api_route("/version", tell_version, methods=["GET"], summary="MLflow's version", operation_id="version")
    for path in ("ping", "health"):
        router.add_api_route(f"/{path}", _ping(list(served.values())), methods=["GET"], operation_id=path,
                             summary="200 where every model is warm", responses=refusals(503))  # fmt: skip
    if len(served) == 1:
        (only,) = served.values()
        _invocations(router, "/invocations", only, "invocations")
    else:
        names = ", ".join(f"/v1/models/{name}/invocations" for name in served)

        async def which() -> Response:
            raise Refused(404, "model", required=f"one of {names}", found="/invocations, and several models",
                          remedy="give MLflow's client the address of one of them")  # fmt: skip

        router.add_api_route("/invocations", which, methods=["POST"], response_model=None, include_in_schema=False)
    for name, each in served.items():
        _invocations(router, f"/v1/models/{name}/invocations", each, f"invocations_{name}")
        router.add_api_route(f"/v1/models/{name}/ping", _ping([each]), methods=["GET"], operation_id=f"ping_{name}",
                             summary="200 where it is warm", responses=refusals(401, 421, 503))  # fmt: skip
    return router


def _ping(served: list[Served]) -> Callable[[], Any]:
    async def ping() -> Response:
        for each in served:
            if not each.asked.live.ready:
                raise not_ready(str(each.asked.live.standing().get("reason")))
        return Response("\n", media_type=JSON)

    return ping


def _invocations(router: APIRouter, path: str, served: Served, name: str) -> None:
    async def invocations(request: Request) -> Response:
        kind = content_type(request.headers.get("content-type"), (JSON, CSV, PARQUET))
        return await served.respond(request, partial(_answered, served, kind), JSON)

    form = {"type": "object", "oneOf": [{"required": [form]} for form in FORMS],
            "properties": {**{form: {"type": ["object", "array"]} for form in FORMS}, "params": {"type": "null"}},
            "additionalProperties": False}  # fmt: skip
    text = {"type": "string"}
    content = {JSON: {"schema": form}, CSV: {"schema": text}, PARQUET: {"schema": {**text, "format": "binary"}}}
    told = {"type": "object", "required": ["predictions"], "properties": {"predictions": {"type": ["array", "object"]}}}
    router.add_api_route(
        path, invocations, methods=["POST"], operation_id=name, summary=f"Scores of {served.name}, as MLflow answers",
        responses={**refusals(*PREDICT_REFUSALS), 200: {"content": {JSON: {"schema": told}}, "description": "Scores."}},
        openapi_extra={"requestBody": {"required": True, "content": content}},
    )  # fmt: skip


def _answered(served: Served, kind: str, body: bytes) -> tuple[answers.Told, bytes]:
    started = time.perf_counter()
    form = "dataframe_split"
    if kind == JSON:
        found = read_json(body, nan=True)
        if found.pop("params", None):
            raise invalid("params", "null: this model takes none", "some")
        if len(found) != 1 or next(iter(found)) not in FORMS:
            raise malformed(f"an object with exactly one of {', '.join(FORMS)}", shown(sorted(found)), "send one")
        ((form, value),) = found.items()
        columns, rows = _split(value) if form == "dataframe_split" else _rows_or_columns(value, form)
        require_rows(rows, served.settings.max_rows)
        asked, frame = _frame(served, columns, rows, form)
    else:
        asked, frame = _csv(served, body) if kind == CSV else _parquet(served, body)
    told = served.answered(asked, frame, started)
    scores = answers.in_order(told)
    predictions = [{"score": score} for score in scores] if form in _AS_FRAME else {"score": scores}
    ids = [told.answers[number].ids[place] for number, place in told.order]
    whole = {"predictions": predictions, "prediction_ids": ids, "model": told.model, "version": told.version}
    return told, answers.dump(whole).encode()


def _kind(served: Served, names: list[str]) -> str:
    """Which question rows of these columns are."""
    features = set(served.asked.project.feature_names(served.asked.model))
    return "features" if features & set(names) else "entities"


def _frame(served: Served, columns: dict[str, list[Any]], rows: int, place: str) -> tuple[str, pl.DataFrame]:
    kind = _kind(served, list(columns))
    known = served.schemas.columns(kind)
    require_names(known, list(columns), place)
    return kind, frame_of(known, {name: _nulls(values) for name, values in columns.items()}, rows, place)


def _nulls(values: list[Any]) -> list[Any]:
    """NaN becomes null, as pandas means it."""
    if float in set(map(type, values)):
        return [None if type(value) is float and math.isnan(value) else value for value in values]
    return values


def _split(value: Any) -> tuple[dict[str, list[Any]], int]:
    place = "dataframe_split"
    if type(value) is not dict or not {"columns", "data"} <= value.keys() <= {"columns", "data", "index"}:
        raise invalid(place, "an object of columns, data and perhaps index", shown(value))
    names, data = value["columns"], value["data"]
    if type(names) is not list or any(type(name) is not str for name in names) or len(set(names)) != len(names):
        raise invalid(f"{place}.columns", "a list of unique names", shown(names))
    if type(data) is not list or not data or any(type(row) is not list or len(row) != len(names) for row in data):
        raise invalid(f"{place}.data", f"a list of at least one row, each a list of {len(names)}", shown(data))
    return dict(zip(names, map(list, zip(*data, strict=True)), strict=True)), len(data)


def _rows_or_columns(value: Any, place: str) -> tuple[dict[str, list[Any]], int]:
    """Rows as objects, or columns as lists."""
    if type(value) is list and value and all(type(row) is dict for row in value):
        names = value[0].keys()
        if any(row.keys() != names for row in value):
            raise invalid(place, "rows of the same columns", "others")
        return {name: [row[name] for row in value] for name in names}, len(value)
    if place in ("instances", "inputs") and type(value) is dict and value:
        rows = {len(values) if type(values) is list else 0 for values in value.values()}
        if len(rows) == 1 and 0 not in rows:
            return value, rows.pop()
    raise invalid(place, "a list of at least one object, or lists of one length by column", shown(value))


def _csv(served: Served, body: bytes) -> tuple[str, pl.DataFrame]:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise malformed("CSV in UTF-8", f"bytes that are none at {error.start}", "send UTF-8") from None
    try:
        frame = pl.read_csv(BytesIO(text.encode()), infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise malformed("CSV with a header, as pandas writes it", type(error).__name__, "mend the body") from None
    if frame.is_empty():
        raise invalid("the body", "CSV of at least one row", "none")
    require_rows(frame.height, served.settings.max_rows)
    kind = _kind(served, frame.columns)
    known = served.schemas.columns(kind)
    require_names(known, frame.columns, "the body")
    columns = {c.name: _parsed(c, frame[c.name]) for c in known if c.name in frame.columns}
    return kind, frame_of(known, columns, frame.height, "the body")


def _parsed(column: Given, text: pl.Series) -> list[Any]:
    """Values of a column of text, as JSON would have them."""
    if column.dtype in ("string", "timestamp"):
        return text.to_list()
    try:
        if column.dtype == "bool":
            return [None if value is None else _TRUE[value] for value in text]
        if column.dtype.startswith("int") and not text.str.contains(r"[.eEnN]").any():
            return text.cast(pl.Int64).to_list()
        return _nulls(text.cast(pl.Float64).to_list())
    except (KeyError, pl.exceptions.PolarsError):
        raise invalid(f"the body: {column.name}", WORDS[column.dtype], "text that is none") from None


def _parquet(served: Served, body: bytes) -> tuple[str, pl.DataFrame]:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        footer = parquet.read_metadata(pa.BufferReader(body))
        # Rows first: a small file may unpack to many. Texts stay in dictionaries, each once.
        require_rows(footer.num_rows, served.settings.max_rows)
        texts = [field.name for field in footer.schema.to_arrow_schema() if pa.types.is_string(field.type)]
        table = parquet.read_table(pa.BufferReader(body), read_dictionary=texts)
        table.validate(full=True)
    except (pa.ArrowException, OSError, EOFError) as error:
        raise malformed("a Parquet file", type(error).__name__, "write it with pandas' to_parquet") from None
    require_rows(table.num_rows, served.settings.max_rows)
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    if frame.is_empty():
        raise invalid("the body", "Parquet of at least one row", "none")
    frame = frame.drop([name for name in frame.columns if name.startswith("__index_level_")])
    floats = [name for name, dtype in frame.schema.items() if dtype.is_float()]
    kind = _kind(served, frame.columns)
    return kind, frame_from(served.schemas.columns(kind), frame.with_columns(pl.col(floats).fill_nan(None)), "the body")
