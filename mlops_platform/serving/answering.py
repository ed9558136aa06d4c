"""A question becomes scores: features fetched, policies applied, one program asked."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl

from mlops_platform.errors import PlatformError
from mlops_platform.online_store import OnlineFeatures
from mlops_platform.scoring.states import score_from
from mlops_platform.serving.loading import LoadedVersion
from mlops_platform.serving.policy import Marks, Policy
from mlops_platform.serving.question import Question
from mlops_platform.spec import Model, Project

Observe = Callable[[str, float], None]
"""Told the seconds of each phase: ``features``, ``scoring`` and ``log``."""


class Online(Protocol):
    """An online store, as a live model reads it."""

    def read(self, model: Model, examples: pl.DataFrame) -> OnlineFeatures:
        """The features of examples: entity keys and ``event_timestamp``, by which age is judged."""
        ...


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """The rows of a question, ready for any version.

    Attributes:
        frame: N rows: the examples and the features that the model is given.
        features: What the online store answered, defaults filled in; None where the caller gave the features.
        marks: Of each row.
    """

    frame: pl.DataFrame
    features: OnlineFeatures | None
    marks: Marks


def marked(version: LoadedVersion, prepared: Prepared) -> Marks:
    """What a version's answers say of each row: of its features and, of sequences, from which state it went on."""
    if version.states is None:
        return prepared.marks
    told = version.states.marks(prepared.frame)
    return [{**of_features, **of_state} for of_features, of_state in zip(prepared.marks, told, strict=True)]


class Answering:
    """How one model's questions are answered, whichever version does it; threads may ask at once."""

    def __init__(self, project: Project, model: Model, online: Online, observe: Observe) -> None:
        self._model, self._online, self._observe = model, online, observe
        self._policy = Policy.of(project, model)
        self._features = list(project.feature_names(model))

    def prepare(self, question: Question) -> Prepared:
        """Fetches the features, unless the caller gave them, and applies their policies.

        Raises:
            RefusedRowsError: A row lacks a feature without which no answer is given.
            PlatformError: The features that the caller gave are not all, or the online store does not answer.
        """
        started = time.perf_counter()
        features: OnlineFeatures | None = None
        marks: Marks = [{} for _ in range(question.examples.height)]
        if question.features is not None:
            values = self._given(question.features)
        else:
            features, marks = self._policy.apply(self._online.read(self._model, question.examples))
            values = features.values
        frame = question.examples.hstack(values)
        self._observe("features", time.perf_counter() - started)
        return Prepared(frame=frame, features=features, marks=marks)

    def score(self, version: LoadedVersion, prepared: Prepared) -> np.ndarray:
        """Scores float32 [N] or [N, H] of prepared rows by a version; of sequences, as the steps after its states.

        Raises:
            InputError: A column is missing or of another type than in training; of sequences, two rows are one step, or
                one is not later than the state of its entity.
        """
        started = time.perf_counter()
        if version.states is None:
            scores = version.scorer.score(prepared.frame)
        else:
            scores = score_from(version.scorer, prepared.frame, version.states.states)
        self._observe("scoring", time.perf_counter() - started)
        return scores

    def _given(self, features: pl.DataFrame) -> pl.DataFrame:
        missing = [name for name in self._features if name not in features.columns]
        if missing:
            raise PlatformError(
                required=f"every feature of {self._model.name}, null where it is not known",
                found=f"no {', '.join(missing)}", remedy="add them, or ask by entities",
            )  # fmt: skip
        # Not by select: a query costs polars 0.1 ms before it begins.
        return features if features.columns == self._features else features[self._features]
