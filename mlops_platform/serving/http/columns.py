"""The columns that a request may bring, as a model's declaration says, and the checks of their values from JSON."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import polars as pl

from mlops_platform.serving.http.errors import Refused, invalid, shown
from mlops_platform.spec import Column, Model, Project

ID, TIME = "id", "event_timestamp"
LONGEST_TEXT = 1_000
TIMES = (
    r"^(19|20|21)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
"""RFC 3339 with an offset, from 1900 to 2199."""
RANGES: dict[str, tuple[float, float]] = {
    "int8": (-(2**7), 2**7 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "float32": (-3.4028234663852886e38, 3.4028234663852886e38),
    "float64": (-1.7976931348623157e308, 1.7976931348623157e308),
}
TYPES: dict[str, pl.DataType] = {
    "int8": pl.Int8(), "int64": pl.Int64(), "float32": pl.Float32(), "float64": pl.Float64(), "string": pl.String(),
    "bool": pl.Boolean(), "timestamp": pl.Datetime("us", "UTC"),
}  # fmt: skip
WORDS = {
    "int8": "a whole number", "int64": "a whole number", "float32": "a finite number", "float64": "a finite number",
    "string": "text", "bool": "true or false", "timestamp": "a time as 2013-07-01T12:00:00Z, from 1900 to 2199",
}  # fmt: skip
_KINDS: dict[str, frozenset[type]] = {
    "int8": frozenset({int, float}), "int64": frozenset({int, float}), "float32": frozenset({int, float}),
    "float64": frozenset({int, float}), "string": frozenset({str}), "bool": frozenset({bool}),
    "timestamp": frozenset({str}),
}  # fmt: skip
_TIME = re.compile(TIMES)
_NONE = type(None)
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_LANDS: dict[str, pl.DataType] = {"timestamp": pl.Int64()}
"""Types in which values of JSON come into a frame, where that is not their own."""
FEW = 100
"""Up to so many rows, all at once cost less than a series for each column: at one row an eighth."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """One column of a request.

    Attributes:
        name: Its name.
        dtype: As ``Column.dtype``.
        nullable: Whether a value may be null, which means missing.
        required: Whether each row has to name it.
        minimum, maximum: Inclusive bounds of a number.
        told: What it is, for the OpenAPI page.
    """

    name: str
    dtype: str
    nullable: bool = True
    required: bool = True
    minimum: float | None = None
    maximum: float | None = None
    told: str = ""

    @cached_property
    def bounds(self) -> tuple[float, float] | None:
        """Inclusive bounds of a number, those of its type included; None for what is no number."""
        if self.dtype not in RANGES:
            return None
        low, high = RANGES[self.dtype]
        declared = (self.minimum, self.maximum)
        return low if declared[0] is None else max(low, declared[0]), high if declared[1] is None else min(
            high, declared[1]
        )


def entity_columns(project: Project, model: Model) -> tuple[Given, ...]:
    """Of a question by entity keys: keys, context and carried columns, and optional id and time."""
    keys = [_key(project, model, name) for name in project.entity_keys(model)]
    context = [_given(column, "context") for column in model.context]
    carried = [replace(_given(column, "for slices only"), required=False, nullable=True) for column in model.carried]
    own = [
        Given(name=ID, dtype="string", required=False, told="your name of this row; it comes back, and is logged"),
        Given(name=TIME, dtype="timestamp", required=False, told="time of the question; left out or null: now"),
    ]
    return _once([*keys, *context, *carried, *own])


def feature_columns(project: Project, model: Model) -> tuple[Given, ...]:
    """Of a question that brings its feature values: those of the entities, and each ``table__column``."""
    values = [
        replace(_given(column, f"feature of {table}"), name=f"{table}__{column.name}", nullable=True)
        for table, group in project.feature_columns(model).items()
        for column in group
    ]
    return _once([*entity_columns(project, model), *values])


def row_columns(project: Project, model: Model) -> tuple[Given, ...]:
    """Of a question by raw rows: the columns of the raw table of what is to be predicted."""
    table = project.raw_table(model.examples.upcoming_source)
    given = (_given(column, f"column of {table.name}") for column in table.columns)
    return tuple(replace(each, nullable=each.nullable and each.name not in table.key) for each in given)


def _key(project: Project, model: Model, name: str) -> Given:
    table = next(t for t in map(project.feature_table, project.feature_columns(model)) if name in t.keys)
    column = next(column for column in project.raw_table(table.source).columns if column.name == name)
    return _given(column, f"entity key of {table.name}")


def _given(column: Column, told: str) -> Given:
    return Given(name=column.name, dtype=column.dtype, nullable=column.nullable, minimum=column.minimum,
                 maximum=column.maximum, told=told)  # fmt: skip


def _once(columns: Sequence[Given]) -> tuple[Given, ...]:
    return tuple({column.name: column for column in reversed(columns)}.values())[::-1]


def frame_of(columns: Sequence[Given], values: Mapping[str, Sequence[Any]], rows: int, place: str) -> pl.DataFrame:
    """Values from JSON as a frame of the declared types.

    Args:
        columns: What may come.
        values: By name, as JSON has them, ``rows`` of each.
        rows: How many.
        place: What the caller named them, for errors.

    Raises:
        Refused: A value of another type, out of its bounds, not finite, or null where none may be.
    """
    there = [column for column in columns if column.name in values]
    if not there:
        return pl.DataFrame(height=rows)
    sound = [_sound(column, values[column.name], place) for column in there]
    schema = {column.name: _LANDS.get(column.dtype, TYPES[column.dtype]) for column in there}
    if rows > FEW:
        made = [pl.Series(name, each, dtype=schema[name]) for name, each in zip(schema, sound, strict=True)]
        frame = pl.DataFrame(made)
    else:
        frame = pl.from_dicts([dict(zip(schema, row, strict=True)) for row in zip(*sound, strict=True)], schema=schema)
    for place_in, column in enumerate(there):
        if column.dtype in _LANDS:
            frame.replace_column(place_in, frame.to_series(place_in).cast(TYPES[column.dtype]))
    return frame


def require_names(columns: Sequence[Given], names: Sequence[str], place: str) -> None:
    """Refuses names that are not declared, and declared ones that are missing."""
    known = {column.name for column in columns}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise invalid(place, f"of the columns {', '.join(sorted(known))}", f"unknown column {shown(unknown[0])}",
                      "leave it out, or mend its name")  # fmt: skip
    missing = [column.name for column in columns if column.required and column.name not in names]
    if missing:
        raise invalid(place, f"rows that name {', '.join(missing)}", "no such column",
                      "name each column, with null where its value is not known")  # fmt: skip


def _sound(column: Given, values: Sequence[Any], place: str) -> Sequence[Any]:
    """One column of JSON values, checked, as a frame takes them: times as microseconds since 1970."""
    kinds = set(map(type, values))
    allowed = _KINDS[column.dtype] | {_NONE} if column.nullable else _KINDS[column.dtype]
    if not kinds <= allowed:
        raise _first(column, values, lambda value: type(value) not in allowed, place)
    if column.dtype == "timestamp":
        return _times(column, values, place)
    if column.dtype == "string":
        return _texts(column, values, place)
    bounds = column.bounds
    if bounds is not None:
        _within(column, values, kinds, bounds, place)
        taken = int if column.dtype.startswith("int") else float
        if kinds - {taken, _NONE}:
            return [None if value is None else taken(value) for value in values]
    return values


def _within(column: Given, values: Sequence[Any], kinds: set[type], bounds: tuple[float, float], place: str) -> None:
    low, high = bounds
    there = [value for value in values if value is not None] if _NONE in kinds else values
    # NaN is beyond no bound, and comes from no JSON.
    if there and not (min(there) >= low and max(there) <= high):
        raise _first(column, values, lambda value: value is not None and not low <= value <= high, place)
    if column.dtype.startswith("int") and float in kinds and not all(map(float.is_integer, map(float, there))):
        raise _first(column, values, lambda value: type(value) is float and not value.is_integer(), place)


def _texts(column: Given, values: Sequence[Any], place: str) -> Sequence[Any]:
    there = [value for value in values if value is not None]
    if max(map(len, there), default=0) > LONGEST_TEXT:
        raise _first(column, values, lambda value: value is not None and len(value) > LONGEST_TEXT, place)
    try:
        for value in there:
            value.encode()
    except UnicodeEncodeError:
        raise invalid(f"{place}.{column.name}", "text of whole characters", "half of a surrogate pair") from None
    return values


def _times(column: Given, values: Sequence[Any], place: str) -> Sequence[Any]:
    def read(value: str | None) -> int | None:
        if value is None:
            return None
        if _TIME.match(value) is None:
            raise ValueError
        return (datetime.fromisoformat(value) - _EPOCH) // _MICROSECOND

    found = []
    for number, value in enumerate(values):
        try:
            found.append(read(value))
        except ValueError:
            raise _wrong(column, number, value, place) from None
    return found


def _first(column: Given, values: Sequence[Any], wrong: Any, place: str) -> Refused:
    number = next(number for number, value in enumerate(values) if wrong(value))
    return _wrong(column, number, values[number], place)


def _wrong(column: Given, number: int, value: Any, place: str) -> Refused:
    return invalid(f"{place}[{number}].{column.name}", needed(column), shown(value))


def needed(column: Given) -> str:
    """What a value of a column has to be, in words."""
    told = WORDS[column.dtype]
    declared = [f"{word} {bound:g}" for word, bound in (("at least", column.minimum), ("at most", column.maximum))
                if bound is not None]  # fmt: skip
    limits = f" {' and '.join(declared)}" if declared else f" of {column.dtype}" if column.dtype in RANGES else ""
    limits = f" of at most {LONGEST_TEXT} characters" if column.dtype == "string" else limits
    return f"{told}{limits}{' or null' if column.nullable else ''}"
