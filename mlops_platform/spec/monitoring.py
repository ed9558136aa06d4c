"""Declaration of monitoring: when what is live counts as bad."""

from dataclasses import dataclass
from datetime import timedelta

from mlops_platform.spec.fields import duration, require


@dataclass(frozen=True, kw_only=True)
class Monitoring:
    """When the live model's answers, once their labels are known, are too much worse than its evaluation.

    Attributes:
        window: Only labelled predictions of this span, ``28d``, up to the newest of them are judged, so that a good
            past does not hide a drop; None: all are.
        min_rows: Fewer labelled predictions are reported and not judged.
        min_days: Those of fewer calendar days are reported and not judged: the rows of one day share their luck.
        max_drop: By how much the gate's metric may be worse than in the evaluation of the same checkpoint.
        confidence: With which it must be shown to be worse by more than that.
    """

    window: str | None = "28d"
    min_rows: int = 500
    min_days: int = 7
    max_drop: float = 0.05
    confidence: float = 0.95

    def __post_init__(self) -> None:
        require(self.min_rows > 0, "Monitoring.min_rows", self.min_rows, "at least one row", "500 is usual")
        days = self.min_days
        whole = isinstance(days, int) and not isinstance(days, bool) and days > 1
        require(whole, "Monitoring.min_days", days, "a whole number of days, two or more", "7 is usual")
        if self.window is not None:
            spans = duration(self.window, name="Monitoring.window") >= timedelta(days=days)
            require(spans, "Monitoring.window", self.window, f"at least min_days={days}d",
                    "lengthen it, or lower min_days")  # fmt: skip
        require(self.max_drop >= 0, "Monitoring.max_drop", self.max_drop, "zero or more", "0.05 is usual")
        inside = 0.5 < self.confidence < 1
        require(inside, "Monitoring.confidence", self.confidence, "above 0.5 and below 1", "0.95 is usual")
