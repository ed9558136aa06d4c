"""How the command line writes times, numbers, stations and runs of rows."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any


def when(at: str | datetime | None) -> str:
    """A time to the minute, in UTC: ``2013-06-30 23:15``."""
    if at is None:
        return "never"
    time = datetime.fromisoformat(at) if isinstance(at, str) else at
    return (time if time.tzinfo is None else time.astimezone(UTC)).strftime("%Y-%m-%d %H:%M")


def station_name(station: str) -> str:
    """A station without its project: ``flight_delay/dataset``."""
    return station.partition("/")[2] or station


def ranges(numbers: Sequence[int], *, most: int | None = None) -> str:
    """Row numbers in rising order, neighbours joined: ``3-7, 9, 12-13``.

    Args:
        numbers: In rising order.
        most: How many ranges to name; the rest are counted.
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    shown = runs if most is None or len(runs) <= most else runs[:most]
    told = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in shown)
    rest = sum(last - first + 1 for first, last in runs[len(shown) :])
    return f"{told} and {rest:,} more" if rest else told


def value(found: Any) -> str:
    """A feature's value in as few characters as tell it."""
    if found is None:
        return "null"
    return f"{found:.4g}" if isinstance(found, float) else str(found)


def score(found: float | Sequence[float]) -> str:
    """A probability to three places, or a forecast's numbers to one."""
    return f"{found:.3f}" if isinstance(found, float) else ", ".join(f"{step:.1f}" for step in found)
