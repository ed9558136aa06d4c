"""Declaration of monitoring: when what is live counts as bad."""

from dataclasses import dataclass

from mlops_platform.spec.fields import require


@dataclass(frozen=True, kw_only=True)
class Monitoring:
    """When the live model's answers, once their labels are known, are too much worse than its evaluation.

    Attributes:
        min_rows: Fewer labelled predictions are reported and not judged.
        max_drop: By how much the gate's metric may be worse than in the evaluation of the same checkpoint.
        confidence: With which it must be shown to be worse by more than that.
    """

    min_rows: int = 500
    max_drop: float = 0.05
    confidence: float = 0.95

    def __post_init__(self) -> None:
        require(self.min_rows > 0, "Monitoring.min_rows", self.min_rows, "at least one row", "500 is usual")
        require(self.max_drop >= 0, "Monitoring.max_drop", self.max_drop, "zero or more", "0.05 is usual")
        inside = 0.5 < self.confidence < 1
        require(inside, "Monitoring.confidence", self.confidence, "above 0.5 and below 1", "0.95 is usual")
