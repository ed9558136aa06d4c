"""Dividing examples by time, with an embargo, so that nothing known in one part leaks into an earlier one.

Purging and embargo follow M. López de Prado, Advances in Financial Machine Learning (2018), section 7.4: a training
row whose label becomes known only after the next part begins is purged, and a gap at least as long as the longest
feature window lies between the parts.
"""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from mlops_platform.errors import PlatformError
from mlops_platform.spec import Split, duration

PARTS = ("train", "validation", "holdout")


@dataclass(frozen=True, kw_only=True)
class Boundaries:
    """Instants (UTC) that divide a dataset: train, embargo, validation, embargo, holdout."""

    train_end: datetime
    validation_start: datetime
    validation_end: datetime
    holdout_start: datetime
    holdout_end: datetime


def boundaries(split: Split, newest: datetime, calendar: str) -> Boundaries:
    """Where the parts begin and end.

    Args:
        split: The declaration.
        newest: Event timestamp of the newest labelled example, UTC.
        calendar: Time zone of the days and months.
    """
    unit = "1mo" if split.holdout.endswith("mo") else "1d"
    local = pl.lit(newest).dt.convert_time_zone(calendar)
    end = local.dt.truncate(unit).dt.offset_by(unit)
    start = end.dt.offset_by(f"-{split.holdout}")
    found = pl.select(
        start=start.dt.convert_time_zone("UTC"), end=end.dt.convert_time_zone("UTC"),
        validation=start.dt.offset_by(f"-{split.embargo}").dt.offset_by(f"-{split.validation}").dt.convert_time_zone("UTC"),
    ).row(0, named=True)  # fmt: skip
    embargo = duration(split.embargo)
    return Boundaries(
        train_end=found["validation"] - embargo, validation_start=found["validation"],
        validation_end=found["start"] - embargo, holdout_start=found["start"], holdout_end=found["end"],
    )  # fmt: skip


def limits(at: Boundaries) -> list[tuple[pl.Expr, datetime]]:
    """Of each part that is learned from: which examples lie in it, and before when their label had to be known."""
    event = pl.col("event_timestamp")
    return [
        (event < at.train_end, at.validation_start),
        (event.is_between(at.validation_start, at.validation_end, closed="left"), at.holdout_start),
    ]


def divide(examples: pl.DataFrame, at: Boundaries) -> tuple[dict[str, pl.DataFrame], dict[str, int]]:
    """Divides labelled examples.

    Args:
        examples: With ``event_timestamp``, ``label`` and ``label_known_timestamp``.
        at: The boundaries.

    Returns:
        The rows of each part, in the order given, and how many rows were left out: ``embargoed`` rows lie in a gap,
        ``purged`` rows had no known label when the next part began.

    Raises:
        PlatformError: A part is empty.
    """
    event, known = pl.col("event_timestamp"), pl.col("label_known_timestamp")
    holdout = event.is_between(at.holdout_start, at.holdout_end, closed="left")
    (train, first), (validation, second) = limits(at)
    within = {"train": train, "validation": validation, "holdout": holdout}
    in_time = {"train": known < first, "validation": known < second, "holdout": pl.lit(True)}
    parts = {name: examples.filter(within[name] & in_time[name]) for name in PARTS}
    purged = sum(examples.filter(within[name] & ~in_time[name]).height for name in PARTS)
    gaps = event.is_between(at.train_end, at.validation_start, closed="left") | event.is_between(
        at.validation_end, at.holdout_start, closed="left"
    )
    left_out = {"purged": purged, "embargoed": examples.filter(gaps).height}
    empty = [name for name, part in parts.items() if part.is_empty()]
    if empty:
        span = examples.select(first=event.min(), last=event.max()).row(0)
        raise PlatformError(
            required="labelled examples in train, validation and holdout",
            found=f"none in {', '.join(empty)}; examples from {span[0]} to {span[1]}, boundaries {at}",
            remedy="land a longer span of data, or declare a shorter Split",
        )
    return parts, left_out
