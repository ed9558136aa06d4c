"""Values told online beside those that a dataset has: which differ, and by how much."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from mlops_platform.monitoring.skew.bounds import upper_bound

ONLINE, OFFLINE, DIFFERENCE = "online", "offline", "difference"


@dataclass(frozen=True, kw_only=True)
class Column:
    """What was found of one column.

    Attributes:
        name: The column.
        rows: How many were compared.
        differing: Whether each row differs, Boolean [N].
        differences: Absolute differences, Float64 [N]; null where one of both is no finite number.
        tolerance: Largest one that counts as equal; None: bit for bit.
    """

    name: str
    differing: pl.Series
    differences: pl.Series
    tolerance: float | None

    @property
    def rows(self) -> int:
        """How many were compared."""
        return len(self.differing)

    @property
    def mismatched(self) -> int:
        """How many differ."""
        return int(self.differing.sum())

    @property
    def largest(self) -> float | None:
        """The largest difference; None where nothing differs in number."""
        largest: float | None = self.differences.filter(self.differing).max()  # type: ignore[assignment]
        return largest

    @property
    def worst(self) -> int | None:
        """Place of the row of the largest difference, or else of the first that differs; None where none does."""
        if not self.mismatched:
            return None
        told = self.differences.set(~self.differing, None)
        place = told.arg_max() if told.null_count() < len(told) else self.differing.arg_max()
        return int(place)  # type: ignore[arg-type]

    def told(self, table: str) -> dict[str, Any]:
        """How often and how far the column differs, as reports tell it, of a feature of a table."""
        return {
            "name": self.name, "table": table, "rows": self.rows, "mismatched": self.mismatched,
            "rate": self.mismatched / self.rows, "upper": upper_bound(self.mismatched, self.rows),
            "largest": self.largest, "tolerance": self.tolerance,
        }  # fmt: skip


def compare(online: pl.Series, offline: pl.Series, *, tolerance: float | None = None) -> Column:
    """Compares two columns of equal length, row by row.

    Null equals null and nothing else, NaN equals NaN, and 0 equals -0. Numbers of unlike types are compared by value,
    with the digits that the wider type has: a value that was rounded on one side is another.

    Args:
        online, offline: The columns; the result has the name of the second.
        tolerance: Largest absolute difference of finite numbers that counts as equal.
    """
    if online.dtype.is_numeric() and offline.dtype.is_numeric():
        wide = pl.Int64 if online.dtype.is_integer() and offline.dtype.is_integer() else pl.Float64
        one, other = online.cast(wide), offline.cast(wide)
        gap = (one.cast(pl.Float64) - other.cast(pl.Float64)).abs()
        differences = gap.set(~gap.is_finite().fill_null(False), None)
    else:
        one, other = (online, offline) if online.dtype == offline.dtype else (_text(online), _text(offline))
        differences = pl.Series(OFFLINE, [None], dtype=pl.Float64).extend_constant(None, len(online)).head(len(online))
    differing = one.ne_missing(other)
    if tolerance is not None:
        differing &= ~(differences <= tolerance).fill_null(False)
    return Column(name=offline.name, differing=differing, differences=differences.alias(offline.name),
                  tolerance=tolerance)  # fmt: skip


def compare_frames(
    online: pl.DataFrame, offline: pl.DataFrame, names: Sequence[str], tolerances: Mapping[str, float]
) -> list[Column]:
    """Compares the columns of these names, rows in one order."""
    return [compare(online[name], offline[name], tolerance=tolerances.get(name)) for name in names]


def plain(value: Any) -> Any:
    """A value as JSON can hold it: what JSON has no word for is told in words."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    return [plain(each) for each in value] if isinstance(value, list) else str(value)


def _text(column: pl.Series) -> pl.Series:
    return column.cast(pl.String)
