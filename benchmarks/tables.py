"""Plain tables, in Markdown, so that a printed figure can be put into a document as it is."""

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime

_ENGINES = ("dagster", "polars", "torch", "scikit-learn", "feast", "mlflow")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table whose first column is text and whose others are figures, flush right where all of them are numbers."""
    cells = [[str(value) for value in row] for row in rows]
    figures = [place > 0 and all(_is_figure(row[place]) for row in cells) for place in range(len(head))]
    widths = [max(len(row[place]) for row in [list(head), *cells]) for place in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, figures, strict=True)
        ]
        return f"| {' | '.join(padded)} |"

    rule = [("-" * (width - 1) + ":") if right else "-" * width for width, right in zip(widths, figures, strict=True)]
    return "\n".join([line(head), line(rule), *map(line, cells)])


def machine() -> str:
    """One line on what a figure was taken on, and when."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _ENGINES)
    return (f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, "
            f"Python {platform.python_version()}, {versions}")  # fmt: skip


def _is_figure(text: str) -> bool:
    return text == "" or text.lstrip("+-<>=~ ").replace(",", "").replace(".", "").rstrip(" %sx").isdigit()
