"""How a cluster's interface is asked: again for two minutes while it is away, since the training there goes on."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 0.5
_T = TypeVar("_T")


def patiently(question: Callable[[], _T], passes: Callable[[Exception], bool]) -> _T:
    """The answer to a question.

    Args:
        question: What may be asked more than once.
        passes: Whether an error says only that the interface is away.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return question()
        except Exception as error:
            if not passes(error) or time.monotonic() > deadline:
                raise
        time.sleep(_POLL_SECONDS)
