"""Raw rows, by the file that they came in."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from mlops_platform.manifest import Manifest, short


@dataclass(frozen=True, kw_only=True)
class SourceRows:
    """Raw rows, by file.

    Attributes:
        table: Raw table.
        version: Its Delta version.
        files: For each file: name, digest and the row numbers, from 0, in ascending order.
    """

    table: str
    version: int
    files: list[dict[str, Any]]

    @property
    def count(self) -> int:
        """How many rows there are."""
        return sum(len(file["rows"]) for file in self.files)


def by_file(rows: pl.DataFrame, raw: Manifest) -> list[dict[str, Any]]:
    """Raw rows as ``SourceRows.files``.

    Args:
        rows: With their lineage, columns ``_file`` and ``_row``.
        raw: The raw table as it was read.
    """
    names = {short(digest): (name, digest) for digest, name in raw.content["files"].items()}
    grouped = rows.group_by("_file").agg(pl.col("_row").sort()).sort("_file")
    return [{"name": names[f][0], "digest": names[f][1], "rows": numbers} for f, numbers in grouped.iter_rows()]
