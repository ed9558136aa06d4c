"""The files of a cell: made once from a fixed seed, in pieces of one row group, so that memory does not grow with them.

Times are spread over one year. Files in time order get later pieces of the year piece by piece, sorted ones further
keys. A row is recorded an hour after its event on average, one in twenty up to thirty days later.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from benchmarks.retrieval.cells import Cell

SEED = 20_240_101
KEY, TIME, CREATED, ROW = "key", "event_timestamp", "created", "row"
_DAY = 24 * 3_600_000_000
START, YEAR, TTL = 1_704_067_200_000_000, 366 * _DAY, 91 * _DAY  # ibis takes no ttl of days and hours
_PIECE = 1_048_576  # rows: pyarrow's own row group
_HOUR, _LATE, _LATEST = 3_600_000_000, 0.05, 30 * _DAY
_SPARE = 5 << 30  # bytes of the disk that stay free
_MOMENT = pl.Datetime("us", "UTC")


class NoSpaceError(OSError):
    """The disk is too small for a cell."""


def feature_names(cell: Cell, view: int) -> list[str]:
    """Names of a view's features, told apart between views."""
    return [f"v{view}_f{number}" for number in range(cell.features)]


def view_path(home: Path, cell: Cell, view: int) -> Path:
    """Where a view's file lies."""
    return home / cell.files / f"view_{view}.parquet"


def entity_path(home: Path, cell: Cell) -> Path:
    """Where the entity rows lie."""
    return home / cell.files / f"entities_{cell.entities}.parquet"


def make(home: Path, cell: Cell) -> None:
    """Writes what is not there yet.

    Raises:
        NoSpaceError: It would fill the disk.
    """
    folder = home / cell.files
    folder.mkdir(parents=True, exist_ok=True)
    missing = [view for view in range(cell.views) if not view_path(home, cell, view).exists()]
    free, needed = shutil.disk_usage(home).free, cell.bytes * len(missing) // cell.views
    if missing and free - needed < _SPARE:
        raise NoSpaceError(
            f"needs {needed / 2**30:.0f} GiB of disk and {_SPARE >> 30} to spare, {free / 2**30:.0f} free"
        )
    for view in missing:
        _write_view(view_path(home, cell, view), cell, view)
    if cell.entities and not entity_path(home, cell).exists():
        _moved_into_place(_entities(cell).write_parquet, entity_path(home, cell))


def _write_view(path: Path, cell: Cell, view: int) -> None:
    def write(draft: Path) -> None:
        writer = None
        for piece in _pieces(cell, view):
            table = piece.to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or pq.ParquetWriter(draft, table.schema)
            writer.write_table(table, row_group_size=_PIECE)
        assert writer is not None
        writer.close()

    _moved_into_place(write, path)


def _pieces(cell: Cell, view: int) -> Iterator[pl.DataFrame]:
    for number, begin in enumerate(range(0, cell.rows, _PIECE)):
        end = min(begin + _PIECE, cell.rows)
        yield _piece(cell, view, begin, end, np.random.default_rng([SEED, view, number]))


def _piece(cell: Cell, view: int, begin: int, end: int, random: np.random.Generator) -> pl.DataFrame:
    count = end - begin
    keys, times = (_sorted_around_one if cell.skewed and cell.by_key else _drawn)(cell, begin, end, random)
    lag = random.exponential(_HOUR, count) + random.integers(0, _LATEST, count) * (random.random(count) < _LATE)
    return pl.DataFrame({
        KEY: _key(keys, cell), TIME: pl.Series(times).cast(_MOMENT),
        CREATED: pl.Series(times + lag.astype(np.int64)).cast(_MOMENT),
        **{name: _values(cell, count, random) for name in feature_names(cell, view)},
    })  # fmt: skip


def _drawn(cell: Cell, begin: int, end: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Keys and times of one piece: of its own part of the keys, or of its own part of the year."""
    all_keys, all_times = (0, cell.keys), (START, START + YEAR)
    keys = random.integers(*(_part(all_keys, begin, end, cell.rows) if cell.by_key else all_keys), end - begin)
    times = random.integers(*(all_times if cell.by_key else _part(all_times, begin, end, cell.rows)), end - begin)
    if cell.skewed:
        keys = np.where(random.random(end - begin) < 0.5, _hot(cell), keys)
    order = np.lexsort((times, keys)) if cell.by_key else np.argsort(times, kind="stable")
    return keys[order], times[order]


def _sorted_around_one(cell: Cell, begin: int, end: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A file sorted by key and time whose middle half is one key, so its pieces must follow on one another."""
    place, half, quarter = np.arange(begin, end), cell.rows / 2, cell.rows / 4
    inside, after = (place >= quarter) & (place < quarter + half), place >= quarter + half
    cold = np.where(after, place - half, place) * (cell.keys / half)
    keys = np.where(inside, _hot(cell), np.floor(cold).astype(np.int64) + after)
    jitter = random.random(end - begin) * 0.9
    share = np.where(inside, (place - quarter + jitter) / half, cold % 1 + jitter * min(1.0, cell.keys / half))
    return keys, START + (np.minimum(share, 1.0) * (YEAR - 1)).astype(np.int64)


def _hot(cell: Cell) -> int:
    return cell.keys // 2


def _values(cell: Cell, count: int, random: np.random.Generator) -> np.ndarray:
    if cell.levels:
        return random.integers(0, cell.levels, count) / cell.levels
    return random.standard_normal(count, dtype=np.float32 if cell.small else np.float64)


def _part(whole: tuple[int, int], begin: int, end: int, rows: int) -> tuple[int, int]:
    low, high = whole
    first, last = (low + (high - low) * place // rows for place in (begin, end))
    return first, max(last, first + 1)


def _entities(cell: Cell) -> pl.DataFrame:
    """Keys and moments in no order; two of a hundred keys have no rows."""
    random = np.random.default_rng([SEED, 999])
    keys = random.integers(0, cell.keys + max(1, cell.keys // 50), cell.entities)
    if cell.skewed:
        keys = np.where(random.random(cell.entities) < 0.5, _hot(cell), keys)
    times = pl.Series(random.integers(START, START + YEAR, cell.entities)).cast(_MOMENT)
    return pl.DataFrame({KEY: _key(keys, cell), TIME: times, ROW: np.arange(cell.entities)})


def _key(keys: np.ndarray, cell: Cell) -> pl.Series:
    return ("user-" + pl.Series(keys).cast(pl.String).str.zfill(9)) if cell.text_key else pl.Series(keys)


def _moved_into_place(write: Callable[[Path], object], path: Path) -> None:
    draft = path.with_suffix(".draft")
    write(draft)
    os.replace(draft, path)
