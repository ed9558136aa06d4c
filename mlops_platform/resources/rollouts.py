"""The door to the records of an open rollout: what its judge promised, and what serving processes counted.

The judge writes one file; each serving process one of its own, over and over, so that none waits for another. A process
that is killed loses what it counted in the last seconds; the prediction log, which holds the answers themselves, does
not depend on it.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from mlops_platform.errors import CorruptArtifactError
from mlops_platform.resources.artifacts import write_whole
from mlops_platform.resources.history import Move, PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.spec import Rollout, duration

GO_ON, WIN, LOSE = "go on", "promote", "roll back"
"""Verdicts of a rollout's judge."""
PATIENCE = 3
"""So many times ``Rollout.every`` a verdict lets a challenger meet traffic."""
_GROWTH = 1.05
"""Ratio of two neighbouring buckets of times: a median is known within this factor."""


@dataclass(frozen=True, kw_only=True)
class Promise:
    """The judge's newest verdict, and until when it holds.

    Attributes:
        rollout: Digest of the history's entry by which the rollout began.
        verdict: ``go on``, ``promote`` or ``roll back``.
        reason: Why, in words and numbers.
        finding: Digest of the station's artifact.
        looks: How many looks at labels were taken.
        at: When it was given, ISO 8601 in UTC; also where nothing was new.
        until: Until when the challenger may meet traffic by it.
    """

    rollout: str
    verdict: str
    reason: str
    finding: str
    looks: int
    at: str
    until: str


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What serving processes saw of a challenger, beside the answers in the log.

    Attributes:
        scored: Questions that both versions scored.
        failed: Questions that the challenger failed to score; the champion answered them.
        dropped: Questions that a shadow did not score, since others waited.
        champion, challenger: How many of the scored questions took how long: by bucket (see ``bucket``).
        error: What the newest failure said.
        refused: Why a process refused to load the challenger.
    """

    scored: int = 0
    failed: int = 0
    dropped: int = 0
    champion: Mapping[int, int] = field(default_factory=dict)
    challenger: Mapping[int, int] = field(default_factory=dict)
    error: str | None = None
    refused: str | None = None

    @property
    def slowdown(self) -> float | None:
        """Ratio of the median scoring times, challenger by champion; None where nothing was scored."""
        medians = [_median(times) for times in (self.challenger, self.champion)]
        return medians[0] / medians[1] if medians[0] is not None and medians[1] is not None else None


class RolloutRecords:
    """The records of one model's open rollout."""

    def __init__(self, home: Home, project: str, model: str) -> None:
        self.folder = home.rollout(project, model)

    def promise(self, rollout: str) -> Promise | None:
        """The judge's newest verdict on a rollout; None where it has given none yet, or its newest is on another.

        Args:
            rollout: Digest of the history's entry by which it began.

        Raises:
            CorruptArtifactError: The verdict's record is not one.
        """
        path = self.folder / "judge.json"
        if not path.is_file():
            return None
        try:
            found = Promise(**json.loads(path.read_bytes()))
        except (ValueError, TypeError) as error:
            raise CorruptArtifactError(
                required=f"the verdict of a rollout's judge in {path}", found=str(error),
                remedy="remove the file; the judge writes it again",
            ) from error  # fmt: skip
        return found if found.rollout == rollout else None

    def give(self, promise: Promise) -> None:
        """Writes down the judge's newest verdict."""
        write_whole(self.folder / "judge.json", json.dumps(asdict(promise)).encode(), replace=True)

    def count(self, rollout: str, worker: str, counts: Counts) -> None:
        """Writes down all that one serving process has counted of a rollout."""
        told = {"rollout": rollout, **asdict(counts)}
        write_whole(self.folder / f"worker-{worker}.json", json.dumps(told).encode(), replace=True)

    def counted(self, rollout: str) -> Counts:
        """What all serving processes, also those that ended, counted of a rollout."""
        found = [json.loads(path.read_bytes()) for path in sorted(self.folder.glob("worker-*.json"))]
        return together(_read(each) for each in found if each["rollout"] == rollout)


@dataclass(frozen=True, kw_only=True)
class OpenRollout:
    """A model's open rollout.

    Attributes:
        digest: Of the history's entry by which it began.
        begun: The entry.
        promise: The judge's newest verdict on it; None where it has given none yet.
    """

    digest: str
    begun: Move
    promise: Promise | None


def open_rollout(home: Home, project: str, model: str) -> OpenRollout | None:
    """A model's open rollout, with what its judge said; None where none is open.

    Raises:
        CorruptArtifactError: An entry of the history is missing or was edited, or the verdict's record is not one.
    """
    entry = PromotionHistory(home, project, model).rollout_entry()
    if entry is None:
        return None
    digest, begun = entry
    return OpenRollout(digest=digest, begun=begun, promise=RolloutRecords(home, project, model).promise(digest))


def together(parts: Iterable[Counts]) -> Counts:
    """Counts of several processes as those of one."""
    found = list(parts)
    times: dict[str, Counter[int]] = {"champion": Counter(), "challenger": Counter()}
    for each in found:
        times["champion"].update(each.champion)
        times["challenger"].update(each.challenger)
    errors = [each.error for each in found if each.error is not None]
    refusals = [each.refused for each in found if each.refused is not None]
    return Counts(
        scored=sum(each.scored for each in found), failed=sum(each.failed for each in found),
        dropped=sum(each.dropped for each in found), champion=dict(sorted(times["champion"].items())),
        challenger=dict(sorted(times["challenger"].items())), error=errors[-1] if errors else None,
        refused=refusals[0] if refusals else None,
    )  # fmt: skip


def bucket(seconds: float) -> int:
    """The bucket of a time: each is five percent longer than the one before; bucket 0 begins at a microsecond."""
    return max(0, math.floor(math.log(max(seconds, 1e-6) / 1e-6, _GROWTH)))


def held_back(rollout: Rollout, begun: Move, promise: Promise | None, now: datetime) -> str | None:
    """Why a challenger may not meet traffic now; None where it may. No judge, no rollout.

    Args:
        rollout: As declared.
        begun: The entry of the history by which it began.
        promise: The judge's newest verdict on it.
        now: UTC.
    """
    if promise is None:
        until = datetime.fromisoformat(begun.at) + patience(rollout)
        return None if now < until else f"the judge has given no verdict since the rollout began, {begun.at}"
    if promise.verdict == LOSE:
        return f"the judge says to roll back: {promise.reason}"
    if datetime.fromisoformat(promise.at) - now > duration(rollout.every):
        return f"the judge's newest verdict is of {promise.at}, a time to come: its clock and this one differ"
    if now >= datetime.fromisoformat(promise.until):
        return f"the judge's newest verdict is of {promise.at} and held until {promise.until}"
    return None


def patience(rollout: Rollout) -> timedelta:
    """How long a verdict holds."""
    return PATIENCE * duration(rollout.every)


def _read(told: Mapping[str, object]) -> Counts:
    every = {name: value for name, value in told.items() if name != "rollout"}
    for name in ("champion", "challenger"):
        every[name] = {int(place): count for place, count in every[name].items()}  # type: ignore[attr-defined]
    return Counts(**every)  # type: ignore[arg-type]


def _median(times: Mapping[int, int]) -> float | None:
    half, seen = sum(times.values()) / 2, 0
    for place, count in sorted(times.items()):
        seen += count
        if seen >= half:
            return 1e-6 * _GROWTH ** (place + 0.5)
    return None
