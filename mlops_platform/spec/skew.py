"""Declaration of skew: how alike what a model is told when it answers must be to what it learned from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlops_platform.spec.fields import require


@dataclass(frozen=True, kw_only=True)
class Skew:
    """How train/serve skew is measured, and how much of it a candidate may have.

    Attributes:
        rows: At most so many rows of the holdout are replayed through the online path.
        moments: They are asked at no more than so many different times; each costs one write and one read a table.
        tolerances: Of features, ``table__column``, the largest absolute difference that counts as equal. Features that
            are not named, and all that are no numbers, are equal bit for bit or they differ.
        max_mismatch: Share of the replayed rows in which a feature may differ before the candidate is held back.
        max_difference: Largest difference of a score, as a share of the score where that is above 1.
        live_rows: So many logged live answers are asked again offline each day, at most.
        live_mismatch: Share of them in which a feature may differ before that is told as an event.
    """

    rows: int = 1_000
    moments: int = 250
    tolerances: Mapping[str, float] = field(default_factory=dict)
    max_mismatch: float = 0.0
    max_difference: float = 1e-6
    live_rows: int = 1_000
    live_mismatch: float = 0.01

    def __post_init__(self) -> None:
        for name in ("rows", "moments", "live_rows"):
            require(getattr(self, name) > 0, f"Skew.{name}", getattr(self, name), "one or more", "1000 is usual")
        for name in ("max_mismatch", "live_mismatch"):
            share = getattr(self, name)
            require(0 <= share < 1, f"Skew.{name}", share, "from 0 to below 1", "0 is usual")
        require(self.max_difference >= 0, "Skew.max_difference", self.max_difference, "zero or more", "1e-6 is usual")
        for name, tolerance in self.tolerances.items():
            require(tolerance >= 0, f"Skew.tolerances[{name}]", tolerance, "zero or more", "raise it")
