"""Upstreams that refuse: by month, and by missing data."""

from collections.abc import Iterator

import polars as pl


def strict(through: str) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """Has one month only."""
    if through != "2024-03":
        raise ValueError("through must be a month from 2024-03 to 2024-03")
    yield "readings", "2024-03", pl.DataFrame({"pump": ["P1"]})


def lost(through: str) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """Has lost its files."""
    raise FileNotFoundError(f"no files for {through}: install them")
    yield "readings", through, pl.DataFrame()


def broken(through: str) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """Has a mistake in its own code, after its first delivery."""
    yield "readings", "2024-03", pl.DataFrame({"pump": ["P1"]})
    raise ValueError("a mistake in the upstream's code")
