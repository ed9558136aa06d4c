"""Collecting a query, with or without a limit of time."""

import threading
import time

import polars as pl
from polars.lazyframe.in_process import InProcessQuery

from mlops_platform.point_in_time.errors import PointInTimeError

_LONGEST_PAUSE = 0.05


class RetrievalTimeoutError(PointInTimeError, TimeoutError):
    """A retrieval took longer than its caller allowed, and was stopped."""


def collect(frame: pl.LazyFrame, timeout: float | None) -> pl.DataFrame:
    """Return the rows of a lazy frame.

    The streaming engine, polars' default, falls back to memory at each asof join with keys, and its sorts and windows
    cost twice as much: 1.6 s against 0.85 s for 7 views of 330,000 rows each. So the in-memory engine runs it.

    Args:
        frame: The frame.
        timeout: Seconds after which the query is told to stop, which it does after the step it is at; None: no limit.

    Raises:
        RetrievalTimeoutError: The time was over.
        PointInTimeError: The timeout is not above zero.
    """
    if timeout is None:
        return frame.collect(engine="in-memory")
    if timeout <= 0:
        raise PointInTimeError(f"timeout: required is a number of seconds above zero, or None; found {timeout}.")
    end = time.monotonic() + timeout
    query = frame.collect(engine="in-memory", background=True)
    pause = 0.001
    while (found := query.fetch()) is None:  # raises the query's own error, if it has one
        left = end - time.monotonic()
        if left <= 0:
            _stop(query)
            raise RetrievalTimeoutError(
                f"the retrieval was stopped: it took longer than the {timeout} seconds allowed. Allow more, or ask for "
                f"fewer rows or features at once."
            )
        try:
            time.sleep(min(pause, left))
        except KeyboardInterrupt:
            _stop(query)
            raise
        pause = min(2 * pause, _LONGEST_PAUSE)
    return found


def _stop(query: InProcessQuery) -> None:
    query.cancel()
    # In polars 2.1 a query that ends when nobody holds it any more, or when Python is leaving, aborts the process: so
    # someone waits for its end, and Python, before it leaves, for them.
    threading.Thread(target=_wait, args=(query,), name="stopped retrieval", daemon=False).start()


def _wait(query: InProcessQuery) -> None:
    try:
        query.fetch_blocking()
    except (OSError, ValueError, pl.exceptions.PolarsError):
        return  # that it was interrupted, or had failed; its caller has had another error
