"""Other facts for the leak check: what became known after a time is changed, corrected once more, or taken away.

How a value is changed depends on its type, and is such that no value stays itself, none overflows, and the changes of
many rows do not cancel out in a mean: numbers and times move up (down at the end of their type), texts grow.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

import polars as pl

from mlops_platform.point_in_time.errors import PointInTimeError
from mlops_platform.point_in_time.times import UTC_TIME, as_utc, in_utc
from mlops_platform.point_in_time.view_frame import require_columns, schema_of

Perturbation = Literal["change", "correct", "remove"]
_HOUR = timedelta(hours=1)
# Below this a float of any width moves by adding one.
_SMALL = 1024
_PER_DAY = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
# Python's dates end with the year 9999.
_LAST_DAY = (date.max - date(1970, 1, 1)).days


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A table of facts.

    Attributes:
        frame: Its rows.
        event_timestamp: Column: when a row was true. Datetime, date or ISO text; no zone means UTC.
        known_timestamp: Column: when a row became known; null, or no such column: at its event time.
        keys: Columns that say what a row is about; they stay as they are, as the times do.
        perturb: The table's own way to change all that became known after a time, for rows of which some columns are
            known before the whole row is. None: rows change as wholes.
    """

    frame: pl.LazyFrame
    event_timestamp: str
    known_timestamp: str | None = None
    keys: tuple[str, ...] = ()
    perturb: Callable[[pl.LazyFrame, datetime], pl.LazyFrame] | None = None


@dataclass(frozen=True, kw_only=True)
class Perturbed:
    """Facts as they might have gone.

    Attributes:
        frame: All rows: those known in time as they were, in their order, and the others.
        facts: How many rows are changed, new or gone.
    """

    frame: pl.LazyFrame
    facts: int


def unperturbed(facts: Facts) -> tuple[str, ...]:
    """Columns whose values no perturbation changes, keys and times left out: of a type without other values."""
    schema = facts.frame.collect_schema()
    return () if facts.perturb else tuple(name for name in _values(facts, schema) if _other(schema[name]) is None)


def perturb(facts: Facts, at: datetime, kind: Perturbation, *, name: str) -> Perturbed:
    """Change what became known after a time, and nothing else.

    Args:
        facts: The table; it is read here.
        at: The time T; no zone means UTC.
        kind: "change": facts known after T have other values. "correct": every fact gets one more version, of other
            values, that is known only after T; without a known timestamp it is a new fact after T. "remove": facts
            known after T are not there. A table with its own `perturb` knows "change" only; the others leave it be.
        name: Of the table, for errors.

    Raises:
        PointInTimeError: A column is missing, a time column holds no times, or its own `perturb` changed the columns.
    """
    schema = schema_of(facts.frame, where=name)
    known = [facts.known_timestamp] if facts.known_timestamp else []
    require_columns([facts.event_timestamp, *known, *facts.keys], schema, where=name, remedy="Correct the Facts.")
    if facts.perturb is not None and kind != "change":
        return Perturbed(frame=facts.frame, facts=0)
    rows = facts.frame.collect(engine="in-memory")
    late = _late(facts, schema, at, name)
    if kind == "correct":
        return Perturbed(frame=pl.concat([rows, _corrections(facts, rows, at, name)]).lazy(), facts=rows.height)
    if kind == "remove":
        left = rows.filter(~late)
        return Perturbed(frame=left.lazy(), facts=rows.height - left.height)
    changes = _changes(facts, schema)
    if facts.perturb is None:
        changed = rows.with_columns(pl.when(late).then(new).otherwise(pl.col(c)).alias(c) for c, new in changes.items())
        return Perturbed(frame=changed.lazy(), facts=rows.filter(late).height if changes else 0)
    # Of a row known in time nothing can be late, and its own way may be dear.
    changed = facts.perturb(rows.filter(late).lazy(), at).collect(engine="in-memory")
    if dict(changed.schema) != dict(schema):
        raise PointInTimeError(f"{name}: perturb must keep the columns {dict(schema)}; found {dict(changed.schema)}.")
    return Perturbed(frame=pl.concat([rows.filter(~late), changed]).lazy(), facts=changed.height)


def _late(facts: Facts, schema: Mapping[str, pl.DataType], at: datetime, name: str) -> pl.Expr:
    """Whether a row became known after T; false where it has no time at all: then nothing ever sees it."""
    event = as_utc(facts.event_timestamp, schema[facts.event_timestamp], where=name)
    known = as_utc(facts.known_timestamp, schema[facts.known_timestamp], where=name) if facts.known_timestamp else event
    # True after T is unknown at T too, unless a known time says otherwise: plans are known before they come true.
    return (pl.coalesce(known, event) > pl.lit(in_utc(at), dtype=UTC_TIME)).fill_null(False)


def _corrections(facts: Facts, rows: pl.DataFrame, at: datetime, name: str) -> pl.DataFrame:
    column = facts.known_timestamp or facts.event_timestamp
    dtype = rows.schema[column]
    moment = pl.max_horizontal(as_utc(column, dtype, where=name), pl.lit(in_utc(at), dtype=UTC_TIME)) + _HOUR
    return rows.with_columns(*(new.alias(c) for c, new in _changes(facts, rows.schema).items()),
                             _as_stored(moment, dtype).alias(column))  # fmt: skip


def _as_stored(moment: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.Datetime):
        zone = dtype.time_zone
        moment = moment.dt.replace_time_zone(None) if zone is None else moment.dt.convert_time_zone(zone)
        return moment.cast(dtype)
    if dtype == pl.String:
        return moment.dt.to_string("%Y-%m-%dT%H:%M:%S%.6f+00:00")
    # The day of a moment after T may be the day of T, which is not after T.
    return (moment + timedelta(days=1)).cast(dtype)


def _values(facts: Facts, schema: Mapping[str, pl.DataType]) -> list[str]:
    return [c for c in schema if c not in {facts.event_timestamp, facts.known_timestamp, *facts.keys}]


def _changes(facts: Facts, schema: Mapping[str, pl.DataType]) -> dict[str, pl.Expr]:
    others = {name: _other(schema[name]) for name in _values(facts, schema)}
    return {name: other(pl.col(name)).cast(schema[name]) for name, other in others.items() if other is not None}


def _other(dtype: pl.DataType) -> Callable[[pl.Expr], pl.Expr] | None:
    """Return what makes another value of the same type of any value, nulls included; None if there is none."""
    if isinstance(dtype, pl.List | pl.Array | pl.Struct):
        return _other_nested(dtype)
    if dtype.is_float():
        return _other_float
    if dtype.is_integer():
        return lambda x: pl.when(x == dtype.max()).then(x - 1).otherwise(x + 1).fill_null(1)  # type: ignore[attr-defined]
    if dtype.is_decimal():
        return lambda x: pl.when(x == 0).then(pl.lit(1).cast(dtype)).otherwise(-x).fill_null(pl.lit(1).cast(dtype))
    if dtype == pl.Boolean:
        return lambda x: (~x).fill_null(True)
    if dtype == pl.String or dtype == pl.Categorical:
        return lambda x: (x.cast(pl.String) + "?").fill_null("?")
    if isinstance(dtype, pl.Enum):
        return _other_enum(dtype)
    if dtype == pl.Binary:
        return lambda x: pl.when(x == b"?").then(pl.lit(b"!")).otherwise(pl.lit(b"?"))
    return _other_time(dtype)


def _other_float(x: pl.Expr) -> pl.Expr:
    moved = pl.when(x.abs() < _SMALL).then(x + 1).otherwise(x / 2)
    return pl.when(x.is_finite()).then(moved).otherwise(1.0)


def _other_enum(dtype: pl.Enum) -> Callable[[pl.Expr], pl.Expr] | None:
    names = dtype.categories.to_list()
    if not names:
        return None
    # A category alone has no other value than null.
    following = dict(zip(names, [*names[1:], names[0] if len(names) > 1 else None], strict=True))
    return lambda x: pl.when(x.is_null()).then(pl.lit(names[0])).otherwise(
        x.cast(pl.String).replace_strict(following, return_dtype=pl.String)
    )  # fmt: skip


def _other_time(dtype: pl.DataType) -> Callable[[pl.Expr], pl.Expr] | None:
    if isinstance(dtype, pl.Datetime | pl.Duration):
        day = _PER_DAY[dtype.time_unit]
        return lambda x: _moved(x.to_physical(), day // 24, min(day * (_LAST_DAY + 1) - 1, 2**63 - 1))
    if dtype == pl.Date:
        return lambda x: _moved(x.to_physical(), 1, _LAST_DAY)
    if dtype == pl.Time:
        day = _PER_DAY["ns"]
        return lambda x: ((x.to_physical() + day // 24) % day).fill_null(0)
    return None


def _moved(physical: pl.Expr, step: int, last: int) -> pl.Expr:
    return pl.when(physical > last - step).then(physical - step).otherwise(physical + step).fill_null(0)


def _other_nested(dtype: pl.List | pl.Array | pl.Struct) -> Callable[[pl.Expr], pl.Expr] | None:
    if isinstance(dtype, pl.Struct):
        fields = {field.name: _other(_instance(field.dtype)) for field in dtype.fields}
        if not any(fields.values()):
            return None
        return lambda x: pl.struct(
            (other(x.struct.field(name)) if other else x.struct.field(name)).cast(dict(dtype)[name]).alias(name)
            for name, other in fields.items()
        )
    inner = _instance(dtype.inner)
    other = _other(inner)
    if other is None:
        return None
    if isinstance(dtype, pl.Array):
        empty = pl.lit([None] * dtype.size, dtype=dtype)
        changed = lambda x: x.fill_null(empty).arr.to_list().list.eval(other(pl.element()).cast(inner))  # noqa: E731
        return lambda x: changed(x).list.to_array(dtype.size)
    # One element more changes the empty list too.
    listed = pl.List(inner)
    more = pl.lit([None], dtype=listed)
    return lambda x: pl.concat_list(
        x.fill_null(pl.lit([], dtype=listed)).list.eval(other(pl.element()).cast(inner)), more
    )


def _instance(dtype: Any) -> pl.DataType:
    """The type of a field, which polars may give as a class."""
    return dtype() if isinstance(dtype, type) else dtype
