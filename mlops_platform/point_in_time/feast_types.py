"""Whether what a source holds can be what a view declares."""

from collections.abc import Sequence

import polars as pl
from feast.feature_view import FeatureView
from feast.types import Array, FeastType, PrimitiveFeastType

from mlops_platform.point_in_time.errors import PointInTimeError

_NUMBERS = ("INT32", "INT64", "FLOAT32", "FLOAT64", "BOOL")
_DECLARED = {
    **dict.fromkeys(_NUMBERS, ("number",)),
    "DECIMAL": ("number", "text"),  # Feast itself writes decimals as text
    "STRING": ("text",),
    "BYTES": ("bytes",),
    # Feast reads whole numbers as seconds since 1970.
    "UNIX_TIMESTAMP": ("time", "number"),
}


def check_declared_types(view: FeatureView, features: Sequence[str], columns: Sequence[str], schema: pl.Schema) -> None:
    """Check that each feature asked for is stored as something its declared type can be.

    Numbers of any width, and booleans, stand for each other, as do text and categories; a column of nulls is
    anything. Types beyond numbers, text, bytes, times and lists of those are not checked.

    Args:
        view: The view.
        features: Names of the features.
        columns: The columns of the source that hold them, in the same order; one that is lost is left to others.
        schema: The columns of the source.

    Raises:
        PointInTimeError: A column has changed its type.
    """
    declared = {feature.name: feature.dtype for feature in view.features}
    for feature, column in zip(features, columns, strict=True):
        if column in schema and not _fits(declared[feature], schema[column]):
            raise PointInTimeError(
                f"view {view.projection.name_to_use()!r}: the feature {feature!r} is declared {declared[feature]}, but "
                f"its column {column!r} is {schema[column]}. Correct the source, or declare the feature's new type "
                f"and apply."
            )


def _fits(declared: FeastType, stored: object) -> bool:
    if stored == pl.Null:
        return True
    if isinstance(declared, Array):
        return isinstance(stored, pl.List | pl.Array) and _fits(declared.base_type, stored.inner)
    kinds = _DECLARED.get(declared.name) if isinstance(declared, PrimitiveFeastType) else None
    return kinds is None or _kind(stored) in kinds


def _kind(stored: object) -> str:
    assert isinstance(stored, pl.DataType)  # the schema of a frame holds types, never their classes
    if stored.is_numeric() or stored == pl.Boolean:
        return "number"
    if isinstance(stored, pl.String | pl.Categorical | pl.Enum):
        return "text"
    if isinstance(stored, pl.Datetime | pl.Date):
        return "time"
    return "bytes" if stored == pl.Binary else "other"
