"""What the landing sensor remembers: each file's state, since when it is so, its digest, and whether it is dealt with.

The memory is one small SQLite file in the home. It decides nothing that the raw tables' ledgers do not know better:
without it, the next ticks hash the landing anew, and ask for nothing that is ingested.
"""

import hashlib
import itertools
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlops_platform.manifest import digest_file, digest_of
from mlops_platform.sources.landing import LandedFile, State, listed, state_of

Listing = Mapping[str, Mapping[str, State]]
"""Files by raw table and name."""

QUIET_SECONDS = 4.0
"""How long a file stays as it is before it counts as whole."""
PATIENCE_SECONDS = 30.0
"""How long one waits that lacks a Parquet file's last four bytes; then the ingest may refuse it."""
_MAGIC = b"PAR1"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
  place TEXT, name TEXT, size INTEGER, modified INTEGER, changed INTEGER, since REAL, digest TEXT, done INTEGER,
  PRIMARY KEY (place, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS waiting ON files (done) WHERE done = 0;
"""


@dataclass
class Budget:
    """What one tick may still spend on hashing; what does not fit waits for the next tick.

    Attributes:
        bytes: How many may be read. A larger file is known by its state alone; the ingest hashes it.
        files: How many may be opened.
    """

    bytes: int = 1 << 30
    files: int = 5_000
    whole: int = field(init=False)

    def __post_init__(self) -> None:
        self.whole = self.bytes

    def covers(self, size: int) -> bool:
        """Whether a file of that size can be hashed in this tick; it is then paid for."""
        size = size if size <= self.whole else 0
        if self.files < 1 or self.bytes < size:
            return False
        self.files, self.bytes = self.files - 1, self.bytes - size
        return True


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Files that no raw table has, as far as the memory knows.

    Attributes:
        growing: How many have not stopped changing.
        unread: How many have stopped and are not hashed yet.
        settled: Digest of each that is whole, by table and name.
    """

    growing: int
    unread: int
    settled: Mapping[tuple[str, str], str]

    @property
    def count(self) -> int:
        """All of them."""
        return self.growing + self.unread + len(self.settled)


def look(landing: Path, tables: Iterable[str]) -> Listing:
    """The files in the landing now."""
    return {table: listed(landing / table) for table in tables}


def listing_digest(listing: Listing) -> str:
    """One digest over a whole listing; the folder's own order is part of it, since sorting costs more than it tells."""
    hasher = hashlib.sha256()
    for table, files in listing.items():
        hasher.update("\0".join([table, str(len(files)), *files]).encode("utf-8", "surrogateescape"))
        hasher.update(array("q", itertools.chain.from_iterable(files.values())).tobytes())
    return hasher.hexdigest()


class Watch:
    """The memory of one project's landing."""

    def __init__(self, database: sqlite3.Connection, landing: Path) -> None:
        self._database, self._landing = database, landing

    @classmethod
    @contextmanager
    def open(cls, path: Path, landing: Path) -> Iterator["Watch"]:
        """Opens the memory; what was noted is kept if the block ends well.

        Args:
            path: The SQLite file; made if need be.
            landing: The folder that it is about.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=20)) as database:
            database.executescript(_SCHEMA)
            with database:
                yield cls(database, landing)

    def note(self, listing: Listing, now: float) -> None:
        """Notes what came, changed and went since the tick before."""
        for place, files in listing.items():
            query = "SELECT name, size, modified, changed FROM files WHERE place = ?"
            known = {row[0]: row[1:] for row in self._database.execute(query, (place,))}
            gone = [(place, name) for name in known.keys() - files.keys()]
            self._database.executemany("DELETE FROM files WHERE place = ? AND name = ?", gone)
            new = [(place, name, *state, now) for name, state in files.items() if known.get(name) != state]
            self._database.executemany("REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, NULL, 0)", new)

    def settle(self, now: float, budget: Budget) -> Waiting:
        """Hashes what has stopped changing, oldest first, as far as the budget goes."""
        query = """SELECT place, name, size, modified, changed, since, digest FROM files WHERE done = 0
                   ORDER BY modified, place, name"""
        growing, unread, settled = 0, 0, {}
        for place, name, *state, since, digest in self._database.execute(query).fetchall():
            if digest is None:
                path, quiet = self._landing / place / name, now - since
                if quiet < QUIET_SECONDS:
                    growing += 1
                    continue
                if not budget.covers(state[0]):
                    unread += 1
                    continue
                digest = _digest(path, State(*state), quiet, budget.whole)
                if digest is None:
                    growing += 1
                    continue
                self._database.execute("UPDATE files SET digest = ? WHERE place = ? AND name = ?",
                                       (digest, place, name))  # fmt: skip
            settled[place, name] = digest
        return Waiting(growing=growing, unread=unread, settled=settled)

    def done(self, files: Iterable[tuple[str, str]]) -> None:
        """Notes files whose content a raw table has."""
        self._database.executemany("UPDATE files SET done = 1 WHERE place = ? AND name = ?", files)


def settled(path: Path, place: str) -> dict[str, tuple[State, str | None]]:
    """The files of one raw table that have stopped growing, with their digests, as ``found_files`` wants them."""
    if not path.is_file():
        return {}
    query = "SELECT name, size, modified, changed, digest FROM files WHERE place = ? AND digest IS NOT NULL"
    with closing(sqlite3.connect(path, timeout=20)) as database:
        rows = database.execute(query, (place,)).fetchall()
    return {
        name: (State(size, modified, changed), digest if digest.startswith("sha256:") else None)
        for name, size, modified, changed, digest in rows
    }


def read_now(path: Path, place: str, files: Iterable[LandedFile]) -> None:
    """Notes the digests of files that were known by their state alone, now that the ingest has read them."""
    if not path.is_file():
        return
    rows = [(file.digest, place, file.path.name) for file in files]
    with closing(sqlite3.connect(path, timeout=20)) as database, database:
        query = "UPDATE files SET digest = ? WHERE place = ? AND name = ? AND digest LIKE 'state:%'"
        database.executemany(query, rows)


def _digest(path: Path, state: State, quiet: float, largest: int) -> str | None:
    """Digest of a file that is whole; None where it is not, is gone or changed meanwhile, which the next tick notes."""
    try:
        if path.suffix == ".parquet" and quiet < PATIENCE_SECONDS and not _has_its_end(path):
            return None
        # Too large to be read between two ticks: its state stands for it, and the ingest reads it.
        digest = digest_file(path) if state.size <= largest else "state:" + digest_of(list(state))
        return digest if state_of(path.stat()) == state else None
    except FileNotFoundError:
        return None


def _has_its_end(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - len(_MAGIC)))
        return file.read() == _MAGIC
