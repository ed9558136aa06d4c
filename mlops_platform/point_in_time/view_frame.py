"""What the engine joins: one feature view as a lazy frame, and the checks that it fits the entity frame."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import polars as pl

from mlops_platform.point_in_time.errors import PointInTimeError

KnownTime = Literal["respect", "ignore"]

RESERVED = "__pit_"
_TEXT = (pl.String, pl.Categorical, pl.Enum)


@dataclass(frozen=True, kw_only=True)
class ViewFrame:
    """One feature view, ready to be joined.

    Attributes:
        name: Name of the view, for errors and for the columns that `with_times` adds.
        frame: Its rows, one per (key, event time, known time). The order of rows is the order of the file.
        keys: Entity column -> view column. Empty for a view without entities.
        features: View column -> output column.
        event_timestamp: View column: when the row was true. Datetime, date or ISO text; no zone means UTC.
        known_timestamp: View column: when the row could be known; null means always. None if there is no such column.
        ttl: Greatest age of a row at the entity's time, inclusive. None or zero: no limit.
        unchanged: Says whether the frame still gives the rows, in the order, that it gave when it was made. None: it
            may not give its rows alike a second time, so it is read once, into memory.
        known_time: "respect": a row is visible only from its known time on. "ignore": known time only breaks ties.
    """

    name: str
    frame: pl.LazyFrame
    keys: Mapping[str, str]
    features: Mapping[str, str]
    event_timestamp: str
    known_timestamp: str | None = None
    ttl: timedelta | None = None
    known_time: KnownTime = "respect"
    unchanged: Callable[[], bool] | None = None

    def __post_init__(self) -> None:
        if self.known_time not in ("respect", "ignore"):
            raise PointInTimeError(f"view {self.name!r}: known_time is 'respect' or 'ignore', not {self.known_time!r}")
        if self.ttl is not None and self.ttl < timedelta(0):
            raise PointInTimeError(f"view {self.name!r}: required is a ttl of zero or more, or None; found {self.ttl}.")


def schema_of(frame: pl.LazyFrame, *, where: str) -> pl.Schema:
    """Return the schema of a lazy frame.

    Raises:
        PointInTimeError: The rows behind the frame cannot be opened (no such file, a damaged table).
    """
    try:
        # Of a copy: a frame that was once asked for its schema no longer lets predicates through to its files.
        return frame.clone().collect_schema()
    except (OSError, pl.exceptions.PolarsError) as found:
        raise PointInTimeError(f"{where}: its rows cannot be opened: {found}") from found


def require_columns(required: Sequence[str], schema: pl.Schema, *, where: str, remedy: str) -> None:
    """Raise PointInTimeError, naming what is there, unless every required column is in the schema."""
    missing = sorted(set(required) - set(schema))
    if missing:
        found = ", ".join(f"{name}: {dtype}" for name, dtype in schema.items())
        raise PointInTimeError(f"{where}: no column {', '.join(map(repr, missing))}; found {found}. {remedy}")


def key_types(view: ViewFrame, entity_schema: pl.Schema, view_schema: pl.Schema) -> dict[str, pl.DataType]:
    """Return, for each entity key column, the type in which both sides are compared.

    Types must be equal. Integers of any width compare by value, and text compares with categories, since neither
    can change a value; a column of nulls fits anything, and matches nothing.

    Raises:
        PointInTimeError: A key column is missing on either side, or the types differ.
    """
    where = f"view {view.name!r}"
    require_columns(
        list(view.keys), entity_schema, where=f"{where}, entity frame",
        remedy="Add the join key to the entity frame, or map it with a join-key mapping.",
    )  # fmt: skip
    types: dict[str, pl.DataType] = {}
    for entity_column, view_column in view.keys.items():
        left, right = entity_schema[entity_column], view_schema[view_column]
        common = _common_type(left, right)
        if common is None:
            raise PointInTimeError(
                f"{where}: the key {entity_column!r} is {left} in the entity frame but {view_column!r} is {right} in "
                f"the view. Values are never converted silently: cast the entity column, for example "
                f"pl.col({entity_column!r}).cast(pl.{right})."
            )
        types[entity_column] = common
    return types


def _common_type(left: pl.DataType, right: pl.DataType) -> pl.DataType | None:
    if left == right and left not in _TEXT:
        return left
    if left == pl.Null or right == pl.Null:
        other = right if left == pl.Null else left
        return pl.Int64() if other == pl.Null else other
    if left in _TEXT and right in _TEXT:
        return pl.String()
    if left.is_integer() and right.is_integer():
        if pl.Int128 in (left, right):
            return pl.Int128()
        # An unsigned value beyond Int64 becomes null in the cast, and so matches nothing: no signed one equals it.
        return pl.UInt64() if left.is_unsigned_integer() and right.is_unsigned_integer() else pl.Int64()
    return None


def check_columns(view: ViewFrame) -> pl.Schema:
    """Check that every column the view names exists; return its schema.

    Raises:
        PointInTimeError: A column is missing, or the rows cannot be opened.
    """
    where = f"view {view.name!r}"
    schema = schema_of(view.frame, where=where)
    times = [view.event_timestamp] + ([view.known_timestamp] if view.known_timestamp else [])
    require_columns(
        [*view.keys.values(), *view.features, *times], schema, where=where,
        remedy="The source has lost or never had it: correct the source, its field mapping or the view's schema.",
    )  # fmt: skip
    reserved = [column for column in schema if column.startswith(RESERVED)]
    if reserved:
        raise PointInTimeError(f"{where}: names that begin with {RESERVED!r} are used by the join; found {reserved}.")
    return schema


def check_outputs(entity_schema: pl.Schema, outputs: Sequence[tuple[str, str]]) -> None:
    """Raise PointInTimeError if two of the (view, output column) pairs, or one and the entity frame, share a name."""
    owner = dict.fromkeys(entity_schema, "the entity frame")
    for view, output in [("the entity frame", column) for column in entity_schema] + list(outputs):
        if output.startswith(RESERVED):
            raise PointInTimeError(
                f"{view}: names that begin with {RESERVED!r} are used by the join; found {output!r}. Rename it."
            )
    for view, output in outputs:
        if output in owner:
            raise PointInTimeError(
                f"view {view!r}: the output column {output!r} is already given by {owner[output]}. "
                f"Ask for full feature names, or rename one of the two."
            )
        owner[output] = f"view {view!r}"
