"""How the command line writes times, numbers, stations and runs of rows."""

from datetime import UTC, datetime
from typing import Any

from mlops_platform.provenance.words import ranges, revision, score

__all__ = ["ranges", "revision", "score", "station_name", "value", "when"]


def when(at: str | datetime | None) -> str:
    """A time to the minute, in UTC: ``2013-06-30 23:15``."""
    if at is None:
        return "never"
    time = datetime.fromisoformat(at) if isinstance(at, str) else at
    return (time if time.tzinfo is None else time.astimezone(UTC)).strftime("%Y-%m-%d %H:%M")


def station_name(station: str) -> str:
    """A station without its project: ``flight_delay/dataset``."""
    return station.partition("/")[2] or station


def value(found: Any) -> str:
    """A feature's value in as few characters as tell it."""
    if found is None:
        return "null"
    return f"{found:.4g}" if isinstance(found, float) else str(found)
