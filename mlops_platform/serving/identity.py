"""Prediction ids: how an answer is named when it is given. ``resources/prediction_log/ids.py`` says what they tell."""

import hashlib
import threading
import uuid
from datetime import datetime

from mlops_platform.resources.prediction_log.ids import COUNT, TOKEN, moment


class LiveIds:
    """Names for the live answers of one worker process; several threads may take them.

    Attributes:
        worker: 32 hex digits, new at each start, so that no two workers ever share an id.
    """

    def __init__(self) -> None:
        self.worker = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._next = 0

    def take(self, answered_at: datetime, count: int) -> list[str]:
        """So many new ids, in ascending order unless the worker's count begins anew among them.

        Args:
            answered_at: The moment of the answers, with a time zone.
            count: How many.
        """
        with self._lock:
            first, self._next = self._next, self._next + count
        start, around = f"o-{moment(answered_at)}-{self.worker[:TOKEN]}", 16**COUNT
        return [f"{start}{number % around:0{COUNT}x}" for number in range(first, first + count)]


def batch_prediction_id(batch: str, example: str) -> str:
    """Id of a batch answer, the same each time the same batch answers the same example.

    Args:
        batch: Digest of all that the answers depend on.
        example: Id of the example.
    """
    own = hashlib.sha256(f"{batch}\n{example}".encode()).hexdigest()
    return f"p-{batch.removeprefix('sha256:')[:12]}-{own[:12]}"
