"""Cells: one question each, asked of made-up feature files; which there are, and how they are named."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Self

THOUSAND, MILLION = 1_000, 1_000_000


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Entity rows that meet feature views.

    Attributes:
        name: As on the command line.
        entities: Entity rows; 0 asks for the newest row of each key of one view instead (``pull_latest``).
        rows: Rows of each view.
        per_key: Rows a key, on average.
        views: How many views, each with files of its own.
        features: Features of each view.
        ttl: Whether rows older than a quarter of the files' time range count no more.
        by_key: Whether files are sorted by key and time; else by time alone.
        text_key: Whether the key is text; else an integer.
        levels: Distinct values of a feature; 0 for as many as there are rows.
        small: Whether features are float32; else float64.
        skewed: Whether one key has half of the rows, and of the entity rows.
        large: Whether it is left out unless asked for.
    """

    name: str
    entities: int
    rows: int
    per_key: int = 10
    views: int = 3
    features: int = 10
    ttl: bool = True
    by_key: bool = False
    text_key: bool = False
    levels: int = 0
    small: bool = False
    skewed: bool = False
    large: bool = False

    @property
    def keys(self) -> int:
        """How many keys there are to draw from."""
        return max(1, self.rows // self.per_key)

    @property
    def files(self) -> str:
        """Name of the folder of its files, which other cells may share."""
        traits = {"key": self.by_key, "text": self.text_key, "f4": self.small, "skewed": self.skewed}
        told = [f"{self.rows}x{self.views}x{self.features}", f"{self.per_key}each"]
        return "-".join([*told, *(name for name, there in traits.items() if there)])

    @property
    def bytes(self) -> int:
        """About how large its files are."""
        feature = 2.5 if self.levels else 4 if self.small else 8
        return int((self.views * self.rows * (self.features * feature + 24) + self.entities * 24) * 1.05)

    def scaled(self, factor: float) -> Self:
        """The same with fewer, or more, rows on both sides."""
        return self if factor == 1 else replace(
            self, entities=int(self.entities * factor), rows=max(1, int(self.rows * factor)),
        )  # fmt: skip

    def dumps(self) -> str:
        """As text for a child process."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> Self:
        """From such text."""
        return cls(**json.loads(text))

    def __str__(self) -> str:
        if not self.entities:
            return f"newest of each key, {_short(self.rows)}{', sorted by key' if self.by_key else ''}"
        traits = {
            f"{self.views} view{'s' if self.views > 1 else ''} of {self.features}": (self.views, self.features)
            != (3, 10),
            f"{self.per_key:,} a key": self.per_key != 10,
            "no ttl": not self.ttl,
            "sorted by key": self.by_key,
            "text key": self.text_key,
            "half of them of one key": self.skewed,
        }
        told = [f"{_short(self.entities)} x {_short(self.rows)}", *(name for name, there in traits.items() if there)]
        return ", ".join(told)


_M = MILLION
_K = THOUSAND
_WIDE = Cell(name="wide", entities=17 * _K, rows=17 * _K, per_key=1, views=1, features=1_000, ttl=False, levels=2_048)
CELLS = (
    Cell(name="10k-1m", entities=10 * _K, rows=_M),
    Cell(name="100k-1m", entities=100 * _K, rows=_M),
    Cell(name="1m-1m", entities=_M, rows=_M),
    Cell(name="1m-1m-sorted", entities=_M, rows=_M, by_key=True),
    Cell(name="10k-10m", entities=10 * _K, rows=10 * _M),
    Cell(name="10k-10m-sorted", entities=10 * _K, rows=10 * _M, by_key=True),
    Cell(name="1m-10m", entities=_M, rows=10 * _M),
    Cell(name="1m-10m-sorted", entities=_M, rows=10 * _M, by_key=True),
    Cell(name="1m-50m-sorted", entities=_M, rows=50 * _M, by_key=True, large=True),
    Cell(name="100k-1m-deep", entities=100 * _K, rows=_M, per_key=1_000, ttl=False),
    Cell(name="1m-1m-deep", entities=_M, rows=_M, per_key=1_000, ttl=False),
    replace(_WIDE, name="issue-3003", views=10, features=100, text_key=True),
    _WIDE,
    Cell(name="latest-1m", entities=0, rows=_M),
    Cell(name="latest-10m", entities=0, rows=10 * _M),
)
"""The peers' table. ``issue-3003`` is feast#3003 as it was reported, ``wide`` the same features in one view."""


def named(names: str) -> list[Cell]:
    """The cells of a comma-separated list."""
    known = {cell.name: cell for cell in CELLS}
    unknown = sorted(set(names.split(",")) - set(known))
    if unknown:
        raise SystemExit(f"no cell named {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names.split(",")]


def _short(count: int) -> str:
    if count >= MILLION and count % (MILLION // 10) == 0:
        return f"{count / MILLION:g}M"
    return f"{count / THOUSAND:g}k" if count >= THOUSAND and count % 100 == 0 else f"{count:,}"
