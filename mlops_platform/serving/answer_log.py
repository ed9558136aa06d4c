"""The live end of the prediction log: what a request was answered becomes a record of the journal."""

import json
from collections.abc import Sequence

import numpy as np
import polars as pl

from mlops_platform.resources.home import Home
from mlops_platform.resources.prediction_log.personal import Personal
from mlops_platform.resources.prediction_log.records import Entry, encode
from mlops_platform.resources.refs import Followed
from mlops_platform.serving.journal import Journal
from mlops_platform.serving.question import Answer, Question
from mlops_platform.spec import Model, Project

_TEXTS = (pl.Categorical, pl.Enum)


class AnswerLog:
    """Logs the live answers of one model in one process; threads may log at once."""

    def __init__(self, home: Home, project: Project, model: Model, journal: Journal | None = None) -> None:
        """Begins a journal for the model's answers.

        Args:
            home: Whose log.
            project, model: The declaration; of its personal columns nothing is written as it is.
            journal: Where records go; None: a new journal, as durable as the model declares.
        """
        self._id = model.examples.id
        self._apart = (self._id, "event_timestamp")
        self._personal = Personal(home, project, model)
        self._online = Followed(home, f"{project.name}/feast/online")
        self._journal = journal or Journal(home.journals(project.name, model.name), model.serving)

    def log(self, question: Question, answers: Sequence[Answer]) -> None:
        """Writes what a question was answered; to be called before anything of it is sent.

        Raises:
            UnloggedError: It could not be written, so it must not be sent.
        """
        self._journal.append(encode([self._entry(question, answer) for answer in answers]))

    def close(self) -> None:
        """To be called when the last answer is out: lets what was logged be shipped at once."""
        self._journal.close()

    def _entry(self, question: Question, answer: Answer) -> Entry:
        whole = np.array_equal(answer.rows, np.arange(question.examples.height))
        examples = question.examples if whole else question.examples[answer.rows]
        # Built of its columns: selecting them takes a query, and somebody waits for the answer.
        inputs = pl.DataFrame([each for each in examples.get_columns() if each.name not in self._apart])
        fetched = answer.features
        if fetched is not None:
            features = fetched.values
        else:
            given = question.features if question.features is not None else examples.select()
            features = given if whole else given[answer.rows]
        parts = {
            "answers": self._answers(examples, answer),
            "inputs": _plain(self._personal.logged(inputs)),
            "features": _plain(self._personal.logged(features)),
        }
        if fetched is not None:
            parts |= {"statuses": fetched.statuses, "events": fetched.events, "knowns": fetched.knowns}
        return Entry(version=answer.version, checkpoint=answer.checkpoint, role=answer.role,
                     answered_at=answer.answered_at, parts=parts,
                     online=self._online.digest() if fetched is not None else None)  # fmt: skip

    def _answers(self, examples: pl.DataFrame, answer: Answer) -> pl.DataFrame:
        rows = len(answer.ids)
        known = self._id in examples.columns
        ids = examples[self._id].cast(pl.String) if known else pl.Series([None] * rows, dtype=pl.String)
        number = pl.Float32 if answer.scores.ndim == 1 else pl.Array(pl.Float32, answer.scores.shape[1])
        marks = [json.dumps(marked) if marked else None for marked in answer.marks]
        return pl.DataFrame([
            pl.Series("prediction_id", answer.ids, dtype=pl.String),
            self._personal.example_ids(ids).alias("example_id"),
            examples["event_timestamp"],
            pl.Series("score", answer.scores, dtype=number),
            pl.Series("marks", marks, dtype=pl.String),
        ])  # fmt: skip


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Texts as texts: each record is read without what another record said of its categories."""
    if any(isinstance(dtype, _TEXTS) for dtype in frame.dtypes):
        return frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    return frame
