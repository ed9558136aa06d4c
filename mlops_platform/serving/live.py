"""A live model: it follows the champion's alias, and an open rollout, and answers questions."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from mlops_platform.resources.aliases import CHAMPION
from mlops_platform.resources.home import Home
from mlops_platform.resources.online import OnlineDoor
from mlops_platform.serving.answering import Answering, Observe, Online, Prepared, marked
from mlops_platform.serving.challenger import Challenger, Meeting, taken
from mlops_platform.serving.identity import LiveIds
from mlops_platform.serving.loading import LoadedVersion
from mlops_platform.serving.question import Answer, Question, Role
from mlops_platform.serving.swap import Swap
from mlops_platform.spec import Model, Project

Log = Callable[[Question, list[Answer]], None]
EVERY = 1.0
"""Seconds between two looks at the alias."""


class LiveModel:
    """One model, answering by its champion. Threads may ask at once; each answer is wholly of one version."""

    def __init__(
        self,
        home: Home,
        project: Project,
        model: Model,
        *,
        online: Online | None = None,
        log: Log | None = None,
        observe: Observe | None = None,
        every: float | None = EVERY,
    ) -> None:
        """Begins to follow the alias; ``ready`` tells when the first version is warm.

        Args:
            home: Where registry and artifacts are.
            project, model: The declaration.
            online: Where features are fetched; by default the online store of the project.
            log: Told each question and its answers before they are returned; where it raises, nothing is answered.
            observe: Told the seconds of each phase.
            every: Seconds between two looks; None: only ``refresh`` looks.
        """
        self.project, self.model = project, model
        self._champion = Swap(home, project, model, CHAMPION)
        self._observe: Observe = observe or _unobserved
        self._answering = Answering(project, model, online or OnlineDoor(home, project), self._observe)
        self._log, self._ids = log, LiveIds()
        rollout = model.serving.rollout
        self._challenger = (
            Challenger(home, project, model, rollout, take=self._ids.take, worker=self._ids.worker, log=log)
            if rollout is not None
            else None
        )
        self._end = threading.Event()
        self._poll: threading.Thread | None = None
        if every is not None:
            name = f"{project.name}.{model.name} follows {CHAMPION}"
            self._poll = threading.Thread(target=self._follow, args=(every,), name=name, daemon=True)
            self._poll.start()

    @property
    def ready(self) -> bool:
        """Whether a version is verified and warm, and the alias is being followed."""
        return self.following and self._champion.loaded is not None

    @property
    def following(self) -> bool:
        """Whether the thread that looks at the alias is alive."""
        return self._poll is None or self._poll.is_alive()

    def standing(self) -> dict[str, Any]:
        """What answers, since when, and what was refused.

        Returns:
            ``version``, ``checkpoint`` and ``since`` (ISO 8601, UTC) of the champion, None where there is none;
            ``refused``: the version that the alias points to where it was refused, with the error's words, or None;
            ``registry``: why the registry told nothing at the last look, or None; ``draining``: versions that left and
            have answers under way; ``swaps``: how often the champion changed; ``reason``: why it is not ready, or None;
            ``rollout``: of the open rollout its ``version``, whether it ``meets_traffic``, why it is ``held_back``, and
            what it ``scored``, ``failed`` to and ``dropped`` here; None where none is open; ``states``: of a model of
            sequences, the states that it goes on from (None: none yet) and, as ``awaited``, why there are none of the
            version that the alias points to, or no newer ones; None of a model of rows.
        """
        champion = self._champion
        loaded, refused = champion.loaded, champion.refused
        return {
            "version": loaded.version if loaded else None,
            "checkpoint": loaded.checkpoint if loaded else None,
            "since": loaded.loaded_at.isoformat() if loaded else None,
            "refused": {"version": refused.version, "at": refused.at, "required": refused.required,
                        "found": refused.found, "remedy": refused.remedy} if refused else None,
            "registry": champion.trouble,
            "draining": champion.draining,
            "swaps": champion.swaps,
            "reason": None if self.ready else str(champion.not_ready()),
            "rollout": self._challenger.standing() if self._challenger is not None else None,
            "states": self._states(loaded),
        }  # fmt: skip

    def _states(self, loaded: LoadedVersion | None) -> dict[str, Any] | None:
        if self.model.network.sequence is None:
            return None
        held, awaited = loaded.states if loaded else None, self._champion.awaited
        return {**(held.standing() if held else {}), "awaited": str(awaited) if awaited is not None else None}

    def answer(self, question: Question) -> list[Answer]:
        """Answers each row of a question, once by what its caller gets.

        Raises:
            NotReadyError: No version is warm.
            RefusedRowsError: A row lacks a feature without which no answer is given.
            InputError: A column is missing or of another type than in training; of sequences, two rows are one step, or
                one is not later than the state of its entity.
            PlatformError: The online store or the log does not work.
        """
        prepared = self._answering.prepare(question)
        with self._champion.answering() as version:
            meeting = self._challenger.meeting(version) if self._challenger is not None else None
            at, answers = self._answers(question, prepared, version, meeting)
            if self._log is not None:
                started = time.perf_counter()
                self._log(question, answers)
                self._observe("log", time.perf_counter() - started)
            if self._challenger is not None and meeting is not None:
                canary = next((answer.rows for answer in answers if answer.role == "canary"), None)
                self._challenger.beside(meeting, version, question, prepared, at, canary)
        return answers

    def _answers(self, question: Question, prepared: Prepared, version: LoadedVersion,
                 meeting: Meeting | None) -> tuple[datetime, list[Answer]]:  # fmt: skip
        """What the callers get, and when: the champion's answers, and a canary's in the place of some of them."""
        every = np.arange(question.examples.height)
        drawn = None
        if self._challenger is not None and meeting is not None:
            drawn = self._challenger.canary(meeting, question, prepared)
        rest = every if drawn is None else np.setdiff1d(every, drawn[0])
        parts: list[tuple[LoadedVersion, Role, np.ndarray, np.ndarray]] = []
        if len(rest) or drawn is None:
            own = prepared if drawn is None else taken(prepared, rest)
            parts.append((version, "champion", rest, self._answering.score(version, own)))
        if drawn is not None and meeting is not None:
            parts.append((meeting.loaded, "canary", *drawn))
        at = datetime.now(UTC)
        ids = np.array(self._ids.take(at, len(every)), dtype=object)
        answers = []
        for by, role, rows, scores in parts:
            part = taken(prepared, rows)
            answers.append(Answer(rows=rows, ids=list(ids[rows]), scores=scores, version=by.version,
                                  checkpoint=by.checkpoint, role=role, features=part.features,
                                  marks=marked(by, part), answered_at=at))  # fmt: skip
        return at, answers

    def refresh(self) -> None:
        """One look at the alias: what it points to is loaded, verified, warmed, and swapped in; or refused."""
        self._champion.refresh()
        if self._challenger is not None:
            self._challenger.refresh()

    def close(self) -> None:
        """Stops following and lets the version go when its last answer is out."""
        self._end.set()
        if self._poll is not None:
            self._poll.join()
        if self._challenger is not None:
            self._challenger.close()
        self._champion.close()

    def _follow(self, every: float) -> None:
        while not self._end.is_set():
            self.refresh()
            self._end.wait(every)


def _unobserved(phase: str, seconds: float) -> None:
    """Nobody measures."""
