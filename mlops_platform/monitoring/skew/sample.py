"""Which rows of a holdout are replayed: spread evenly over it, at a bounded number of moments."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

TIME = "event_timestamp"
_PLACE = "__place"


def sample(holdout: Path, *, rows: int, moments: int) -> tuple[pl.DataFrame, int]:
    """Rows to replay, in the order of time.

    Of the rows by time, evenly spaced ones tell the moments; of each moment's rows as many are taken, evenly spaced,
    as the number of rows allows, all moments alike. Only times are read of the others.

    Args:
        holdout: Parquet file with ``event_timestamp``.
        rows: At most so many.
        moments: At no more than so many times.

    Returns:
        The rows, and how many the holdout has.
    """
    scan = pl.scan_parquet(holdout)
    times = scan.select(TIME).with_row_index(_PLACE).collect().sort(TIME, maintain_order=True)
    places = chosen(times[TIME].to_physical().to_numpy(), rows=rows, moments=moments)
    wanted = times[_PLACE].gather(pl.Series(places, dtype=pl.UInt32))
    found = scan.with_row_index(_PLACE).filter(pl.col(_PLACE).is_in(wanted.implode())).collect()
    return found.sort(TIME, _PLACE).drop(_PLACE), times.height


def chosen(times: npt.NDArray[np.int64], *, rows: int, moments: int) -> npt.NDArray[np.int64]:
    """Places of the rows to take, rising.

    Args:
        times: Of the rows, int64 [N], rising.
        rows, moments: As of ``sample``; rows are as many as moments at least.
    """
    if len(times) == 0:
        return np.empty(0, dtype=np.int64)
    told = np.unique(times[spread(len(times), min(moments, rows))])
    begins, ends = np.searchsorted(times, told, side="left"), np.searchsorted(times, told, side="right")
    share = _share(ends - begins, rows)
    return np.concatenate([b + spread(e - b, share) for b, e in zip(begins.tolist(), ends.tolist(), strict=True)])


def spread(count: int, wanted: int) -> npt.NDArray[np.int64]:
    """At most so many places among a count, evenly spaced."""
    wanted = min(count, wanted)
    if not wanted:
        return np.empty(0, dtype=np.int64)
    return ((np.arange(wanted) + 0.5) * count / wanted).astype(np.int64)


def _share(counts: npt.NDArray[np.int64], rows: int) -> int:
    """The most rows that each moment may give so that all together give no more than ``rows``; one at least."""
    low, high = 1, int(counts.max())
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if int(np.minimum(counts, middle).sum()) <= rows else (low, middle - 1)
    return low
