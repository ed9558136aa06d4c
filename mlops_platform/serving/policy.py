"""What an answer does where a feature is missing or stale, as its column declares: mark, default or refuse."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from mlops_platform.errors import PlatformError
from mlops_platform.online_store import OnlineFeatures, Status
from mlops_platform.spec import Column, Model, Project

MISSING, STALE, LATER, DEFAULT = "missing", "stale", "later", "default"
_WORDS = {int(Status.MISSING): MISSING, int(Status.STALE): STALE, int(Status.LATER): LATER}
_WITHOUT_VALUE = frozenset({int(Status.MISSING), int(Status.STALE)})

Marks = list[dict[str, str]]


class RefusedRowsError(PlatformError):
    """Rows that are not answered, since a feature that they need is missing or stale.

    Attributes:
        rows: Names of these features by place of the row in the question.
    """

    def __init__(self, rows: dict[int, list[str]]) -> None:
        self.rows = rows
        first = sorted(rows)[:3]
        told = "; ".join(f"row {row}: {', '.join(rows[row])}" for row in first)
        super().__init__(
            required='features declared if_missing="refuse" to be there and fresh',
            found=told + (f"; and {len(rows) - len(first)} rows more" if len(rows) > len(first) else ""),
            remedy="ask for entities whose features are online, or bring them online: mlops materialize",
        )


@dataclass(frozen=True)
class Policy:
    """The policies of one model's features.

    Attributes:
        columns: By feature table, in the order of the model.
    """

    columns: dict[str, tuple[Column, ...]]

    @classmethod
    def of(cls, project: Project, model: Model) -> "Policy":
        """Those that a model's feature columns declare."""
        return cls(project.feature_columns(model))

    def apply(self, found: OnlineFeatures) -> tuple[OnlineFeatures, Marks]:
        """What the model is given for what the online store answered, and what the answer says of it.

        Args:
            found: N rows.

        Returns:
            The features, defaults filled in, and for each row the mark of each feature that has one: ``missing`` and
            ``stale`` where the model was given a null, ``default: missing`` and ``default: stale`` where it was given
            the declared value, ``later`` where the value is of after the time of the question, and was given.

        Raises:
            RefusedRowsError: A row lacks a feature without which no answer is given.
        """
        marks: Marks = [{} for _ in range(found.values.height)]
        refused: dict[int, list[str]] = {}
        filled: dict[str, pl.Series] = {}
        for table, group in self.columns.items():
            places = _by_status(found.statuses[table].to_list())
            for column in group if places else ():
                name = f"{table}__{column.name}"
                for status, rows in places.items():
                    if status in _WITHOUT_VALUE and column.if_missing == "refuse":
                        for row in rows:
                            refused.setdefault(row, []).append(name)
                        continue
                    defaulted = status in _WITHOUT_VALUE and column.if_missing == "default"
                    word = f"{DEFAULT}: {_WORDS[status]}" if defaulted else _WORDS[status]
                    for row in rows:
                        marks[row][name] = word
                    if defaulted:
                        filled[name] = _filled(filled.get(name, found.values[name]), column.default, rows)
        if refused:
            raise RefusedRowsError(refused)
        if not filled:
            return found, marks
        values = pl.DataFrame([filled.get(values.name, values) for values in found.values.get_columns()])
        return replace(found, values=values), marks


def _by_status(codes: list[int]) -> dict[int, list[int]]:
    """Places of the rows that have a status but ``PRESENT``, by status."""
    places: dict[int, list[int]] = {}
    if any(codes):
        for row, code in enumerate(codes):
            if code:
                places.setdefault(code, []).append(row)
    return places


def _filled(values: pl.Series, default: object, rows: list[int]) -> pl.Series:
    """Values with the default at some rows."""
    lacking = np.zeros(len(values), bool)
    lacking[rows] = True
    other = pl.Series([default], dtype=values.dtype, strict=True).new_from_index(0, len(values))
    return other.zip_with(pl.Series(lacking), values).alias(values.name)
