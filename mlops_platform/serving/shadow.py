"""What nobody waits for: one thread scores beside the champion, and drops what it has no room for."""

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from mlops_platform.errors import PlatformError
from mlops_platform.resources.rollouts import Counts, RolloutRecords, bucket
from mlops_platform.serving.loading import LoadedVersion

QUESTIONS, ROWS = 64, 20_000
"""Questions and rows that may wait; what comes when as many do is dropped and counted."""
_TIMED_EVERY = 4
"""Each so many questions, both versions are timed here, one after the other, so that both have the same load."""


class ChallengerFailedError(PlatformError):
    """A challenger that did not score a question; the champion answered it."""


def scored(version: LoadedVersion, frame: pl.DataFrame) -> np.ndarray:
    """Scores of a version; whatever its program raises is told as one error.

    Raises:
        ChallengerFailedError: It did not score, or not each row by a finite number.
    """
    try:
        scores = version.scorer.score(frame)
    except Exception as error:
        raise ChallengerFailedError(
            required=f"version {version.version} to score what the champion scores",
            found=f"{type(error).__name__}: {error}", remedy="its rollout counts this against it",
        ) from error  # fmt: skip
    if len(scores) != frame.height or not np.isfinite(scores).all():
        raise ChallengerFailedError(
            required=f"version {version.version} to score each row by a finite number", found="one that is none",
            remedy="its rollout counts this against it",
        )  # fmt: skip
    return scores


class Tally:
    """What one process counts of one rollout; threads may count at once.

    Attributes:
        rollout: Digest of the entry by which it began.
    """

    def __init__(self, rollout: str) -> None:
        self.rollout = rollout
        self._lock = threading.Lock()
        self._numbers: Counter[str] = Counter()
        self._times: dict[str, Counter[int]] = {"champion": Counter(), "challenger": Counter()}
        self._error: str | None = None
        self._refused: str | None = None
        self._written: Counts | None = None

    def scored(self) -> None:
        """Both versions scored a question."""
        with self._lock:
            self._numbers["scored"] += 1

    def failed(self, error: str) -> None:
        """The challenger failed to score a question."""
        with self._lock:
            self._numbers["failed"] += 1
            self._error = error

    def dropped(self) -> None:
        """A question was scored by one version only, since too many waited or its record was not written."""
        with self._lock:
            self._numbers["dropped"] += 1

    def refused(self, error: str) -> None:
        """The challenger did not verify or warm here."""
        with self._lock:
            self._refused = error

    def timed(self, champion: float, challenger: float) -> None:
        """Seconds that both took for the same rows."""
        with self._lock:
            self._times["champion"][bucket(champion)] += 1
            self._times["challenger"][bucket(challenger)] += 1

    def counts(self) -> Counts:
        """All of it."""
        with self._lock:
            numbers = {name: self._numbers[name] for name in ("scored", "failed", "dropped")}
            times = {name: dict(sorted(found.items())) for name, found in self._times.items()}
            return Counts(**numbers, **times, error=self._error, refused=self._refused)  # type: ignore[arg-type]

    def write(self, records: RolloutRecords, worker: str) -> None:
        """Writes it down where something was counted since."""
        counts = self.counts()
        if counts not in (self._written, Counts()):
            records.count(self.rollout, worker, counts)
            self._written = counts


@dataclass(frozen=True, kw_only=True)
class Task:
    """One question to score beside its answer.

    Attributes:
        frame: Its rows, prepared.
        quiet: The version that scores them now.
        other: The version that answered.
        challenger: Which of both it is whose failures count.
        tally: Where it is counted.
        finish: Told the scores.
    """

    frame: pl.DataFrame
    quiet: LoadedVersion
    other: LoadedVersion
    challenger: LoadedVersion
    tally: Tally
    finish: Callable[[np.ndarray], None]


class Shadow:
    """A thread of its own, begun with the first task, and what waits for it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: queue.Queue[Task | None] = queue.Queue()
        self._lock = threading.Lock()
        self._questions = self._rows = self._done = 0
        self._thread: threading.Thread | None = None

    def put(self, task: Task) -> None:
        """Takes a task, or drops and counts it; never waits for one."""
        with self._lock:
            full = self._questions >= QUESTIONS or self._rows + task.frame.height > ROWS
            if not full:
                self._questions += 1
                self._rows += task.frame.height
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                    self._thread.start()
        if full:
            task.tally.dropped()
        else:
            self._waiting.put(task)

    def close(self) -> None:
        """Does what waits and ends."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (task := self._waiting.get()) is not None:
            try:
                self._do(task)
            finally:
                with self._lock:
                    self._questions -= 1
                    self._rows -= task.frame.height

    def _do(self, task: Task) -> None:
        try:
            began = time.perf_counter()
            scores = scored(task.quiet, task.frame)
            seconds = time.perf_counter() - began
        except ChallengerFailedError as error:
            if task.quiet is task.challenger:
                task.tally.failed(str(error))
            else:
                # The champion's own failures are the callers' to hear of; here a pair is missing.
                task.tally.dropped()
            return
        try:
            task.finish(scores)
        except (PlatformError, OSError):
            # The log says so to those who wait for an answer; here a pair is missing.
            task.tally.dropped()
            return
        task.tally.scored()
        self._time(task, seconds)

    def _time(self, task: Task, seconds: float) -> None:
        self._done += 1
        if self._done % _TIMED_EVERY:
            return
        try:
            began = time.perf_counter()
            scored(task.other, task.frame)
            other = time.perf_counter() - began
        except ChallengerFailedError as error:
            if task.other is task.challenger:
                task.tally.failed(str(error))
            return
        pair = (other, seconds) if task.quiet is task.challenger else (seconds, other)
        task.tally.timed(*pair)
