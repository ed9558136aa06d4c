"""Declaration of serving: how answers are logged, and how a challenger meets live traffic before it is champion."""

from dataclasses import dataclass
from typing import Literal

from mlops_platform.spec.fields import duration, require


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """How a challenger that passed the gate meets live traffic before it is promoted; it is judged on the same rows.

    Attributes:
        kind: ``shadow``: it answers a copy of the traffic and no caller sees it; ``canary``: its answer is also the one
            that a share of the callers gets.
        share: Of a canary, which part of the entities is answered by it.
        sticky: Entity keys by whose values callers are divided, always the same way; none: all keys of the model.
        margin: How much worse the gate's metric may be, in its own unit, to be called not worse.
        confidence: Of the sequential test, whatever number of looks it takes.
        min_rows: Fewer rows with labels are reported and not judged.
        min_days: Those of fewer calendar days are reported and not judged: the rows of one day share their luck.
        max_days: After so many days without a verdict it is rolled back.
        max_disagreement: Mean absolute difference of both scores beyond which it is rolled back before labels arrive.
        max_slowdown: Ratio of both models' median scoring times beyond which it is rolled back.
        max_failures: Share of the questions that it failed to score beyond which it is rolled back.
        every: How often it is judged at least, ``1h``. Where the newest verdict is three times as old, the challenger
            meets no traffic until there is another: no judge, no rollout.
    """

    kind: Literal["shadow", "canary"] = "shadow"
    share: float = 0.05
    sticky: tuple[str, ...] = ()
    margin: float = 0.0
    confidence: float = 0.95
    min_rows: int = 500
    min_days: int = 7
    max_days: int = 28
    max_disagreement: float | None = None
    max_slowdown: float | None = None
    max_failures: float = 0.01
    every: str = "1h"

    def __post_init__(self) -> None:
        kinds = ("shadow", "canary")
        require(self.kind in kinds, "Rollout.kind", self.kind, f"one of {', '.join(kinds)}", "choose one")
        require(0 < self.share < 1, "Rollout.share", self.share, "above 0 and below 1", "0.05 is usual")
        require(self.margin >= 0, "Rollout.margin", self.margin, "zero or more", "raise it")
        inside = 0.5 < self.confidence < 1
        require(inside, "Rollout.confidence", self.confidence, "above 0.5 and below 1", "0.95 is usual")
        for name in ("min_rows", "max_days"):
            require(getattr(self, name) > 0, f"Rollout.{name}", getattr(self, name), "one or more", "raise it")
        days = self.min_days
        require(
            2 <= days <= self.max_days, "Rollout.min_days", days, f"from 2 to max_days={self.max_days}", "7 is usual"
        )
        share = self.max_failures
        require(0 <= share < 1, "Rollout.max_failures", share, "from 0 to below 1", "0.01 is usual")
        duration(self.every, name="Rollout.every")
        for name in ("max_disagreement", "max_slowdown"):
            limit = getattr(self, name)
            require(limit is None or limit > 0, f"Rollout.{name}", limit, "above zero", "raise it or leave it out")


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How a model answers live questions.

    Attributes:
        durability: When an answer is sent, its log entry is ``synced`` (on the disk, whatever happens to the machine)
            or ``flushed`` (with the operating system: a killed process loses nothing, a machine without power
            at most what came in ``sync_every``).
        sync_every: Of ``flushed``, the longest time between two syncs.
        rollout: How a challenger meets live traffic; None: the gate's verdict alone promotes it.
    """

    durability: Literal["synced", "flushed"] = "flushed"
    sync_every: str = "1s"
    rollout: Rollout | None = None

    def __post_init__(self) -> None:
        known = ("synced", "flushed")
        require(self.durability in known, "Serving.durability", self.durability, f"one of {', '.join(known)}",
                "choose one")  # fmt: skip
        duration(self.sync_every, name="Serving.sync_every")
