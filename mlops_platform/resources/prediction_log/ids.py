"""What prediction ids tell by themselves.

Batch: ``p-<12 hex of the batch>-<12 hex>``. Live: ``o-<YYYYMMDDThhmmss><6 digits of microseconds>-<worker><count>``,
of the moment of the answer in UTC, 8 hex of the worker and 6 hex of its count: sorted as text they are sorted by time,
so that one of them is found among millions by its day and by the statistics of data files.
"""

import re
from datetime import UTC, datetime

TOKEN = 8
"""Digits of a live id that name the worker, the first ones of its journals' name."""
COUNT = 6
_LIVE = re.compile(rf"o-(\d{{8}}T\d{{12}})-([0-9a-f]{{{TOKEN}}})[0-9a-f]{{{COUNT}}}")
_BATCH = re.compile(r"p-([0-9a-f]{12})-[0-9a-f]{12}")
_MOMENT = "%Y%m%dT%H%M%S%f"


def moment(answered_at: datetime) -> str:
    """The moment of an answer as live ids write it."""
    return answered_at.astimezone(UTC).strftime(_MOMENT)


def answered_at_of(prediction_id: str) -> datetime | None:
    """When a live answer was given, UTC, as its id says; None for an id of another form."""
    match = _LIVE.fullmatch(prediction_id)
    return datetime.strptime(match[1], _MOMENT).replace(tzinfo=UTC) if match else None


def worker_of(prediction_id: str) -> str | None:
    """The worker that gave a live answer, by its first 8 hex digits; None for an id of another form."""
    match = _LIVE.fullmatch(prediction_id)
    return match[2] if match else None


def batch_of(prediction_id: str) -> str | None:
    """The first 12 hex digits of the batch of a batch answer; None for an id of another form, older ones too."""
    match = _BATCH.fullmatch(prediction_id)
    return match[1] if match else None
