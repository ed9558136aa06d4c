"""Declaration of when a model is trained again by itself."""

from dataclasses import dataclass

from mlops_platform.spec.fields import duration, require


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """When new data train a model again, without a person asking.

    Each reason given is enough by itself; none of them counts while the dataset is the one that the newest checkpoint
    was trained on, since there is nothing new to learn. A model without a checkpoint is always trained.

    Attributes:
        new_rows: Enough labelled examples that the newest checkpoint's dataset does not have, or has with another
            label; None: not a reason.
        new_span: Enough time, ``7d``, from its newest labelled example to the newest there is now; None: not a reason.
        stale_after: How long after a training even less new data are enough; None: not a reason.
        on_bad_monitoring: Whether a bad monitoring report is a reason.
        cooldown: The least time from one training to the next; None: none.
    """

    new_rows: int | None = 1
    new_span: str | None = None
    stale_after: str | None = None
    on_bad_monitoring: bool = True
    cooldown: str | None = None

    def __post_init__(self) -> None:
        rows = self.new_rows
        whole = isinstance(rows, int) and not isinstance(rows, bool) and rows > 0
        require(rows is None or whole, "Retraining.new_rows", rows, "a whole number above zero, or None",
                "1 means any new labelled row")  # fmt: skip
        for name in ("new_span", "stale_after", "cooldown"):
            value = getattr(self, name)
            if value is not None:
                duration(value, name=f"Retraining.{name}")
        stale, cooldown = self.stale_after, self.cooldown
        if stale is not None and cooldown is not None:
            require(duration(stale) > duration(cooldown), "Retraining.stale_after", stale,
                    f"longer than cooldown={cooldown}", "lengthen it, or shorten the cooldown")  # fmt: skip
        reasons = (rows, self.new_span, self.stale_after, self.on_bad_monitoring or None)
        require(any(reason is not None for reason in reasons), "Retraining", self, "at least one reason to train",
                "declare one of new_rows, new_span, stale_after, on_bad_monitoring, or leave retraining=None for "
                "a model that only people train")  # fmt: skip
