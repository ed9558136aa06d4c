"""What an online store answers for a model's entities, in columns."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import polars as pl


class Status(IntEnum):
    """What became of one feature row that was asked for."""

    PRESENT = 0
    MISSING = 1
    """No row of this entity."""
    STALE = 2
    """A row older than its view's ``ttl`` at the time of the question; its values are not given."""
    LATER = 3
    """A row whose event timestamp is after the time of the question, as of a question about the past."""


@dataclass(frozen=True, kw_only=True)
class OnlineFeatures:
    """The features of N rows.

    Attributes:
        values: Features named ``table__column`` in the order of the model, N rows, each of its declared dtype; null
            where the row's status is missing or stale.
        statuses: By feature table, UInt8 of ``Status``, N rows.
        events, knowns: By feature table, event and known timestamp of the row found (Datetime us, UTC), N rows; null
            where there is none.
    """

    values: pl.DataFrame
    statuses: pl.DataFrame
    events: pl.DataFrame
    knowns: pl.DataFrame

    def rows(self, places: np.ndarray) -> "OnlineFeatures":
        """Some of the rows, by their places."""
        return OnlineFeatures(values=self.values[places], statuses=self.statuses[places], events=self.events[places],
                              knowns=self.knowns[places])  # fmt: skip
