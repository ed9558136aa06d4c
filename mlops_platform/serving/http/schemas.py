"""Pydantic models of a served model's requests and answers, made from its declaration: what OpenAPI shows.

The values themselves are checked column by column in ``columns.py``, which reads the same list of columns: a Python
object a row costs more than scoring it. A test holds both to the same verdicts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, create_model
from pydantic.json_schema import SkipJsonSchema

from mlops_platform.serving.http.columns import (
    LONGEST_TEXT,
    TIMES,
    Given,
    entity_columns,
    feature_columns,
    row_columns,
)
from mlops_platform.spec import Forecast, Model, Project

_TOLD = ConfigDict(extra="forbid")
_ROLE: Any = Literal["champion", "canary"]
_EXAMPLES: dict[str, Any] = {"int8": 1, "int64": 1, "float32": 0.5, "float64": 0.5, "bool": True,
                             "timestamp": "2013-07-01T12:00:00Z", "string": "text"}  # fmt: skip


class Used(BaseModel):
    """One feature as the model got it."""

    model_config = _TOLD

    value: bool | int | float | str | None
    event_timestamp: datetime | None = Field(description="when it was true")
    known_timestamp: datetime | None = Field(description="when it could be known")
    status: Literal["present", "missing", "stale", "later", "given"]


class Standing(BaseModel):
    """What is live of one model."""

    model_config = ConfigDict(extra="allow")

    model: str
    ready: bool
    version: str | None = None
    checkpoint: str | None = None


class Models(BaseModel):
    """Every served model."""

    model_config = _TOLD

    models: list[Standing]


@dataclass(frozen=True, kw_only=True)
class Schemas:
    """The forms of one served model.

    Attributes:
        entities, rows, features: Columns of each kind of question.
        request: One of the three, in JSON.
        answer: What comes back.
    """

    entities: tuple[Given, ...]
    rows: tuple[Given, ...]
    features: tuple[Given, ...]
    request: dict[str, Any]
    answer: type[BaseModel]

    def columns(self, kind: str) -> tuple[Given, ...]:
        """Columns of a kind of question: entities, rows or features."""
        found: tuple[Given, ...] = getattr(self, kind)
        return found


KINDS = ("entities", "rows", "features")


def schemas(project: Project, model: Model, most_rows: int) -> Schemas:
    """The forms of a model, named for it.

    Args:
        project, model: The declarations.
        most_rows: Of one request.
    """
    title = "".join(part.capitalize() for part in model.name.split("_"))
    given = {"entities": entity_columns(project, model), "rows": row_columns(project, model),
             "features": feature_columns(project, model)}  # fmt: skip
    return Schemas(**given, request=_request(title, given, most_rows), answer=_answer(title, model))


def _request(title: str, given: dict[str, tuple[Given, ...]], most_rows: int) -> dict[str, Any]:
    """JSON schema of a body: exactly one kind of question."""
    told = {
        "entities": "by entity keys: features are fetched from the online store",
        "rows": "by raw rows, of which the project's own function makes the questions, as in batch",
        "features": "by entity keys and the values of every feature",
    }
    forms = []
    for kind, columns in given.items():
        row = row_model(f"{title}{kind.capitalize()}", columns)
        rows = {"type": "array", "minItems": 1, "maxItems": most_rows, "items": _inlined(row)}
        properties = {kind: rows, "return_features": {"type": "boolean", "default": False}}
        forms.append({"type": "object", "title": f"{title}: {kind}", "description": told[kind], "required": [kind],
                      "properties": properties, "additionalProperties": False})  # fmt: skip
    return {"title": f"{title}Question", "oneOf": forms}


def example(columns: Sequence[Given]) -> dict[str, Any]:
    """A row that has every column that must come, of no particular values."""
    return {column.name: _sample(column) for column in columns if column.required}


def _sample(column: Given) -> Any:
    value, bounds = _EXAMPLES[column.dtype], column.bounds
    if bounds is None or bounds[0] <= value <= bounds[1]:
        return value
    return column.minimum if column.minimum is not None else column.maximum


def _inlined(row: type[BaseModel]) -> dict[str, Any]:
    return row.model_json_schema()


def row_model(title: str, columns: Sequence[Given]) -> type[BaseModel]:
    """A pydantic model of one row, strict, with the bounds of each column."""
    fields: dict[str, Any] = {}
    for column in columns:
        kind = _annotation(column)
        fields[column.name] = (kind | None if column.nullable else kind, ... if column.required else None)
    made: type[BaseModel] = create_model(title, __config__=ConfigDict(extra="forbid", strict=True), **fields)
    return made


def _annotation(column: Given) -> Any:
    described = Field(description=column.told)
    if column.dtype == "bool":
        return Annotated[StrictBool, described]
    if column.dtype == "string":
        return Annotated[StrictStr, Field(description=column.told, max_length=LONGEST_TEXT)]
    if column.dtype == "timestamp":
        extra: dict[str, Any] = {"format": "date-time"}
        return Annotated[StrictStr, Field(description=column.told, pattern=TIMES, json_schema_extra=extra)]
    low, high = column.bounds or (None, None)
    kind = int if column.dtype.startswith("int") else float
    return Annotated[
        kind, Field(description=column.told, ge=low, le=high, allow_inf_nan=None if kind is int else False)
    ]


def _answer(title: str, model: Model) -> type[BaseModel]:
    """The answer: a score for each row, in the order of the rows."""
    score: Any = float
    if isinstance(model.task, Forecast):
        steps = model.task.horizon
        score = Annotated[list[float], Field(min_length=steps, max_length=steps, description="one number a step")]
    left_out: Any = Annotated[None, SkipJsonSchema()]
    prediction = create_model(
        f"{title}Prediction",
        __config__=_TOLD,
        prediction_id=(str, Field(description="its id in the prediction log, for why")),
        id=(str | left_out, Field(None, description="the row's id, where it has one")),
        score=(score, ...),
        role=(_ROLE, ...),
        version=(str | left_out, Field(None, description="of a canary, the version that answered")),
        marks=(
            dict[str, str] | left_out,
            Field(None, description="features that were missing, stale or defaults, and of which state"),
        ),
        features=(dict[str, Used] | left_out, Field(None, description="where return_features is true")),
    )
    made: type[BaseModel] = create_model(
        f"{title}Answer",
        __config__=_TOLD,
        model=(str, ...),
        version=(str, Field(description="of the champion")),
        checkpoint=(str, Field(description="digest of the champion's checkpoint")),
        predictions=(list[prediction], ...),  # type: ignore[valid-type]
    )
    return made
