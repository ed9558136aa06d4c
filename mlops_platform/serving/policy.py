"""What an answer does where a feature is missing or stale, as its column declares: mark, default or refuse."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from mlops_platform.errors import PlatformError
from mlops_platform.online_store import OnlineFeatures, Status
from mlops_platform.spec import Column, Model, Project

MISSING, STALE, LATER, DEFAULT = "missing", "stale", "later", "default"
_WORDS = {Status.MISSING: MISSING, Status.STALE: STALE, Status.LATER: LATER}
_WITHOUT_VALUE = (Status.MISSING, Status.STALE)

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
        filled: list[pl.Series] = []
        for table, column, status, rows in self._without_all(found):
            name = f"{table}__{column.name}"
            if status in _WITHOUT_VALUE and column.if_missing == "refuse":
                for row in rows.tolist():
                    refused.setdefault(row, []).append(name)
                continue
            word = _WORDS[status]
            if status in _WITHOUT_VALUE and column.if_missing == "default":
                word = f"{DEFAULT}: {word}"
            for row in rows.tolist():
                marks[row][name] = word
        if refused:
            raise RefusedRowsError(refused)
        for table, column in self._with_default():
            name = f"{table}__{column.name}"
            lacking = found.statuses[table].is_in([int(status) for status in _WITHOUT_VALUE])
            if lacking.any():
                values = found.values[name]
                default = pl.Series([column.default], dtype=values.dtype, strict=True)
                filled.append(default.new_from_index(0, len(values)).zip_with(lacking, values).alias(name))
        return (replace(found, values=found.values.with_columns(filled)) if filled else found), marks

    def _without_all(self, found: OnlineFeatures) -> Iterator[tuple[str, Column, Status, np.ndarray]]:
        """Each column with each status but ``PRESENT`` that its table's rows have, and those rows."""
        for table, group in self.columns.items():
            statuses = found.statuses[table].to_numpy()
            if not statuses.any():
                continue
            for status in _WORDS:
                rows = np.flatnonzero(statuses == status)
                if len(rows):
                    yield from ((table, column, status, rows) for column in group)

    def _with_default(self) -> Iterator[tuple[str, Column]]:
        return ((t, column) for t, group in self.columns.items() for column in group if column.if_missing == "default")
