"""The challenger of an open rollout, loaded beside the champion; without a judge it meets no traffic."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from mlops_platform.errors import PlatformError
from mlops_platform.resources.aliases import Pointed
from mlops_platform.resources.history import Move, PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.rollouts import RolloutRecords, held_back, patience
from mlops_platform.serving.answering import Prepared
from mlops_platform.serving.loading import LoadedVersion, load_version
from mlops_platform.serving.question import Answer, Question
from mlops_platform.serving.routing import canary_rows
from mlops_platform.serving.shadow import Shadow, Tally, Task, scored
from mlops_platform.spec import Model, Project, Rollout

Take = Callable[[datetime, int], list[str]]
"""New prediction ids."""


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """A challenger that may meet traffic now.

    Attributes:
        rollout: Digest of the entry by which its rollout began.
        loaded: The challenger.
        champion: Checkpoint that it is compared with.
        until: When the judge's promise ends.
        tally: What is counted of it here.
    """

    rollout: str
    loaded: LoadedVersion
    champion: str
    until: datetime
    tally: Tally


class Challenger:
    """Follows the rollouts of one model; threads may ask at once."""

    def __init__(self, home: Home, project: Project, model: Model, asked: Rollout, *, take: Take, worker: str,
                 log: Callable[[Question, list[Answer]], None] | None) -> None:  # fmt: skip
        """Begins to follow; ``refresh`` looks.

        Args:
            home: Where history, records and artifacts are.
            project, model, asked: The declarations.
            take: New prediction ids.
            worker: Name of this process among those that count.
            log: Told what a shadow answered; nobody waits for it.
        """
        self._home, self._project, self._model, self._asked = home, project, model, asked
        self._take, self._worker, self._log = take, worker, log
        self._history = PromotionHistory(home, project.name, model.name)
        self._records = RolloutRecords(home, project.name, model.name)
        self._keys = list(project.entity_keys(model))
        self._shadow = Shadow(f"{project.name}.{model.name} shadow")
        self._entries = -1
        self._begun: tuple[str, Move] | None = None
        self._tally: Tally | None = None
        self._loaded: LoadedVersion | None = None
        self._meeting: Meeting | None = None
        self._why: str | None = None
        self._looking = threading.Lock()

    def refresh(self) -> None:
        """One look at history and judge: what began is loaded and verified, what ended or is unjudged meets nobody."""
        with self._looking:
            try:
                self._look()
            except (PlatformError, OSError, ValueError) as error:
                # Whatever cannot be read tells of no judge; what serves the champion goes on.
                self._meeting, self._why = None, str(error)
            self._write()

    def standing(self) -> dict[str, Any] | None:
        """What the open rollout is to this process; None where none is open."""
        begun, tally = self._begun, self._tally
        if begun is None:
            return None
        meeting, counts = self._meeting, tally.counts() if tally is not None else None
        late = meeting is not None and datetime.now(UTC) >= meeting.until
        return {
            "kind": self._asked.kind, "share": self._asked.share if self._asked.kind == "canary" else None,
            "version": begun[1].version, "checkpoint": begun[1].challenger, "since": begun[1].at,
            "meets_traffic": meeting is not None and not late,
            "held_back": "the judge's promise has ended" if late else self._why,
            "until": meeting.until.isoformat() if meeting is not None else None,
            **({"scored": counts.scored, "failed": counts.failed, "dropped": counts.dropped, "error": counts.error}
               if counts is not None else {}),
        }  # fmt: skip

    def meeting(self, champion: LoadedVersion) -> Meeting | None:
        """The challenger that may meet a question that this champion answers now."""
        found = self._meeting
        if found is None or found.champion != champion.checkpoint or datetime.now(UTC) >= found.until:
            return None
        return found

    def canary(self, meeting: Meeting, question: Question, prepared: Prepared) -> tuple[np.ndarray, np.ndarray] | None:
        """Rows that a canary answers, with its scores; None where it answers none, also where it failed to."""
        if not set(self._keys) <= set(question.examples.columns):
            # A question that names no entity is on no side: the champion answers it.
            return None
        mine = canary_rows(self._asked, question.examples.select(self._keys), salt=str(meeting.loaded.checkpoint))
        if not mine.any():
            return None
        rows = np.flatnonzero(mine)
        try:
            return rows, scored(meeting.loaded, prepared.frame[rows])
        except PlatformError as error:
            meeting.tally.failed(str(error))
            return None

    def beside(self, meeting: Meeting, champion: LoadedVersion, question: Question, prepared: Prepared, at: datetime,
               canary: np.ndarray | None) -> None:  # fmt: skip
        """Has the other version score, later and seen by nobody, what one version answered.

        Args:
            meeting, champion: The versions.
            question, prepared: What was asked.
            at: When it was answered.
            canary: Rows that the canary answered; None of a shadow: all are scored.
        """
        if self._asked.kind == "canary" and canary is None:
            return
        rows = np.arange(question.examples.height) if canary is None else canary
        quiet, other = (meeting.loaded, champion) if canary is None else (champion, meeting.loaded)

        def finish(scores: np.ndarray) -> None:
            part = taken(prepared, rows)
            answer = Answer(rows=rows, ids=self._take(at, len(rows)), scores=scores, version=quiet.version,
                            checkpoint=quiet.checkpoint, role="shadow", features=part.features, marks=part.marks,
                            answered_at=at)  # fmt: skip
            if self._log is not None:
                self._log(question, [answer])

        frame = prepared.frame if canary is None else prepared.frame[rows]
        self._shadow.put(Task(frame=frame, quiet=quiet, other=other, challenger=meeting.loaded, tally=meeting.tally,
                              finish=finish))  # fmt: skip

    def close(self) -> None:
        """Scores what waits, and writes down what was counted."""
        self._shadow.close()
        self._write()

    def _write(self) -> None:
        try:
            if self._tally is not None:
                self._tally.write(self._records, self._worker)
        except OSError as error:
            # A challenger whose failures the judge cannot learn of meets nobody; the next look writes them.
            self._meeting, self._why = None, f"what it does here cannot be written down: {error}"

    def _look(self) -> None:
        entries = sum(1 for _ in self._history.folder.glob("*.json"))
        if entries != self._entries:
            self._begun = self._history.rollout_entry()
            self._entries = entries
        if self._begun is None:
            self._meeting = self._loaded = self._tally = self._why = None
            return
        digest, begun = self._begun
        if self._tally is None or self._tally.rollout != digest:
            self._meeting, self._loaded, self._tally = None, None, Tally(digest)
            self._load(begun, self._tally)
        promise = self._records.promise(digest)
        self._why = held_back(self._asked, begun, promise, datetime.now(UTC))
        if self._loaded is None or self._why is not None:
            self._why = self._why or f"it was refused: {self._tally.counts().refused}"
            self._meeting = None
            return
        until = datetime.fromisoformat(promise.until if promise else begun.at)
        self._meeting = Meeting(rollout=digest, loaded=self._loaded, champion=str(begun.checkpoint), tally=self._tally,
                                until=until if promise else until + patience(self._asked))  # fmt: skip

    def _load(self, begun: Move, tally: Tally) -> None:
        found = Pointed(version=str(begun.version), checkpoint=begun.challenger)
        try:
            self._loaded = load_version(self._home, self._project, self._model, found)
        except PlatformError as error:
            tally.refused(str(error))


def taken(prepared: Prepared, rows: np.ndarray) -> Prepared:
    """Some rows of a prepared question."""
    features = prepared.features
    if len(rows) == prepared.frame.height:
        return prepared
    return Prepared(frame=prepared.frame[rows], features=features.rows(rows) if features is not None else None,
                    marks=[prepared.marks[row] for row in rows])  # fmt: skip
