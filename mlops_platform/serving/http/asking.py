"""From the frames of a request to a question, and to its answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import polars as pl

from mlops_platform.scoring.errors import InputError
from mlops_platform.serving.http.answers import Told, told
from mlops_platform.serving.http.columns import ID, TIME, TYPES
from mlops_platform.serving.http.errors import RETRY_SECONDS, Refused
from mlops_platform.serving.http.raw_rows import examples_of
from mlops_platform.serving.http.service import Live
from mlops_platform.serving.policy import RefusedRowsError
from mlops_platform.serving.question import Question
from mlops_platform.serving.swap import NotReadyError
from mlops_platform.spec import Model, Project

_MICROSECONDS = pl.Datetime("us", "UTC")
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One served model, and how it is asked.

    Attributes:
        project, model: The declarations.
        live: What answers.
    """

    project: Project
    model: Model
    live: Live

    def answer(self, kind: str, frame: pl.DataFrame) -> Told:
        """Answers the rows of a request.

        Args:
            kind: entities, rows or features.
            frame: N rows of that kind's columns.

        Raises:
            Refused: The model is not ready, or refuses a row.
        """
        question = self.question(kind, frame)
        with refusing():
            answers = self.live.answer(question)
        return told(self.model.name, question, answers, self.model.examples.id)

    def question(self, kind: str, frame: pl.DataFrame) -> Question:
        """The question that rows of a kind are."""
        if kind == "rows":
            made = examples_of(self.project, self.model, frame, self._names)
            return Question(examples=made.with_columns(pl.col(TIME).cast(_MICROSECONDS)))
        features = frame[self._features] if kind == "features" else None
        return Question(examples=self._completed(frame), features=features)

    def _completed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Entities with the time of the question, their id under the model's name, and every declared column."""
        # Column by column: any expression costs polars 0.1 ms before it begins.
        there, rows = frozenset(frame.columns), frame.height
        columns = {name: frame[name] for name in self._names if name in there}
        columns[self.model.examples.id] = frame[ID] if ID in there else _nulls(rows, pl.String())
        now = datetime.now(UTC)
        if TIME not in columns:
            columns[TIME] = pl.Series([(now - _EPOCH) // _MICROSECOND] * rows, dtype=pl.Int64).cast(_MICROSECONDS)
        elif columns[TIME].null_count():
            columns[TIME] = columns[TIME].fill_null(pl.lit(now, dtype=_MICROSECONDS))
        for column in self.model.carried:
            if column.name not in there:
                columns[column.name] = _nulls(rows, TYPES[column.dtype])
        return pl.DataFrame([columns[name].alias(name) for name in self._names])

    @cached_property
    def _features(self) -> list[str]:
        return list(self.project.feature_names(self.model))

    @cached_property
    def _names(self) -> list[str]:
        model = self.model
        own = [*self.project.entity_keys(model), TIME, *(column.name for column in (*model.context, *model.carried))]
        return list(dict.fromkeys([model.examples.id, *own]))


def _nulls(rows: int, dtype: pl.DataType) -> pl.Series:
    return pl.Series([None] * rows, dtype=dtype)


@contextmanager
def refusing() -> Iterator[None]:
    """Tells the model's own errors in HTTP's words."""
    try:
        yield
    except RefusedRowsError as error:
        raise Refused(422, "features", required=error.required, found=error.found, remedy=error.remedy) from None
    except InputError as error:
        raise Refused(422, "input", required=error.required, found=error.found, remedy=error.remedy) from None
    except NotReadyError as error:
        raise not_ready(str(error)) from None


def not_ready(reason: str) -> Refused:
    """The refusal of a model that cannot answer yet."""
    return Refused(
        503, "not_ready", required="a version that is loaded, verified and warm", found=reason,
        remedy="ask again; /readyz says when it is", headers={"retry-after": str(RETRY_SECONDS)},
    )  # fmt: skip
