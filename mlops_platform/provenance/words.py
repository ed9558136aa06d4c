"""How the page spells numbers, times, rows and digests."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

_DIGITS = 12


def number(found: Any) -> str:
    """A value as people read it: six digits of a number, all of a text."""
    if found is None:
        return "null"
    if isinstance(found, float):
        return f"{found:.6g}" if math.isfinite(found) else str(found)
    return when(found) if isinstance(found, datetime) else str(found)


def when(moment: datetime | str | None) -> str:
    """A time in UTC, to the second where it has any."""
    if moment is None:
        return "never"
    found = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"{found:%Y-%m-%d %H:%M:%S}".removesuffix(":00") + " UTC"


def age(span: timedelta) -> str:
    """How old something is, in its largest unit: 40 s, 12 min, 3.5 h, 9 days."""
    seconds = span.total_seconds()
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if abs(seconds) < limit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 86400:,.0f} days"


def plural(count: int, name: str) -> str:
    """So many of something: 1 row, 2,000 rows."""
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def revision(found: str | None) -> str:
    """A git revision by its first digits, and whether the working tree had changes of its own."""
    if found is None:
        return "not recorded"
    return f"{found[:_DIGITS]}{'-dirty' if found.endswith('-dirty') else ''}"


def ranges(numbers: Sequence[int], *, most: int | None = None) -> str:
    """Row numbers in rising order, neighbours joined: ``3-7, 9, 12-13``.

    Args:
        numbers: In rising order.
        most: How many ranges to name; the rest are counted.
    """
    runs: list[list[int]] = []
    for place in numbers:
        if runs and place == runs[-1][1] + 1:
            runs[-1][1] = place
        else:
            runs.append([place, place])
    shown = runs if most is None or len(runs) <= most else runs[:most]
    told = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in shown)
    rest = sum(last - first + 1 for first, last in runs[len(shown) :])
    return f"{told} and {rest:,} more" if rest else told


def score(found: float | Sequence[float]) -> str:
    """A probability to three places, or a forecast's numbers to one."""
    return f"{found:.3f}" if isinstance(found, float) else ", ".join(f"{step:.1f}" for step in found)
