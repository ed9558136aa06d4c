"""What the landing sensor remembers: each file's state, since when it is so, its digest, and whether it is dealt with.

The memory is one small SQLite file in the home. It decides nothing that the raw tables' ledgers do not know better:
without it, the next ticks hash the landing anew, and ask for nothing that is ingested.
"""

import hashlib
import itertools
import sqlite3
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from mlops_platform.errors import StoreError
from mlops_platform.resources.home import Home
from mlops_platform.sources.folders import SURE_SECONDS, Folder, Read, State, folder_at
from mlops_platform.sources.landing import LandedFile, found_files

if TYPE_CHECKING:
    from upath import UPath

Listing = Mapping[str, Mapping[str, State]]
"""Files by raw table and name."""

_In = TypeVar("_In")
_Out = TypeVar("_Out")
_LATE = "late"
_VERSION = 2
_SCHEMA = """
DROP TABLE IF EXISTS files;
CREATE TABLE files (
  place TEXT, name TEXT, size INTEGER, modified INTEGER, changed INTEGER, since REAL, digest TEXT, tag TEXT,
  done INTEGER, PRIMARY KEY (place, name)
) WITHOUT ROWID;
CREATE INDEX waiting ON files (done) WHERE done = 0;
CREATE INDEX unsure ON files (since) WHERE tag IS NOT NULL;
PRAGMA user_version = 2;
"""


@dataclass
class Budget:
    """What one tick may still spend on hashing; what does not fit waits for the next tick.

    Attributes:
        bytes: How many may be read. A larger file is known by its state alone; the ingest hashes it.
        files: How many may be opened.
        seconds: How long may be read; what is being read then is read to its end.
    """

    bytes: int = 1 << 30
    files: int = 5_000
    seconds: float = 20.0
    whole: int = field(init=False)

    def __post_init__(self) -> None:
        self.whole, self._until = self.bytes, time.monotonic() + self.seconds

    @property
    def late(self) -> bool:
        """Whether no more may be begun."""
        return time.monotonic() > self._until

    def covers(self, size: int) -> bool:
        """Whether a file of that size can be hashed in this tick; it is then paid for."""
        size = size if size <= self.whole else 0
        if self.files < 1 or self.bytes < size:
            return False
        self.files, self.bytes = self.files - 1, self.bytes - size
        return True


class _Wanted(NamedTuple):
    place: str
    name: str
    state: State
    quiet: float


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Files that no raw table has, as far as the memory knows.

    Attributes:
        growing: How many have not stopped changing.
        unread: How many have stopped and are not hashed yet.
        unsure: How many have to be looked at once more, whether or not a raw table has them.
        settled: Digest of each that is whole, by table and name.
    """

    growing: int
    unread: int
    unsure: int
    settled: Mapping[tuple[str, str], str]

    @property
    def count(self) -> int:
        """All of them."""
        return self.growing + self.unread + self.unsure + len(self.settled)


def budget_for(landing: "Path | UPath") -> Budget:
    """What a tick may spend: less where each byte comes over the network."""
    return Budget() if isinstance(landing, Path) else Budget(bytes=1 << 28)


def look(landing: "Path | UPath", tables: Iterable[str]) -> Listing:
    """The files in the landing now."""
    return {table: folder_at(landing / table).listed() for table in tables}


def listing_digest(listing: Listing, where: str) -> str:
    """One digest over a whole listing; the folder's own order is part of it, since sorting costs more than it tells."""
    hasher = hashlib.sha256(where.encode("utf-8", "surrogateescape"))
    for table, files in listing.items():
        hasher.update("\0".join([table, str(len(files)), *files]).encode("utf-8", "surrogateescape"))
        hasher.update(array("q", itertools.chain.from_iterable(files.values())).tobytes())
    return hasher.hexdigest()


class Watch:
    """The memory of one project's landing."""

    def __init__(self, database: sqlite3.Connection, landing: "Path | UPath") -> None:
        self._database, self._landing = database, landing
        self._folders: dict[str, Folder] = {}

    @classmethod
    @contextmanager
    def open(cls, path: Path, landing: "Path | UPath") -> Iterator["Watch"]:
        """Opens the memory; what was noted is kept if the block ends well.

        Args:
            path: The SQLite file; made if need be, and anew where another version of this module made it.
            landing: What it is about.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=20)) as database:
            if database.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                database.executescript(_SCHEMA)
            with database:
                yield cls(database, landing)

    def note(self, listing: Listing, now: float) -> None:
        """Notes what came, changed and went since the tick before."""
        for place, files in listing.items():
            query = "SELECT name, size, modified, changed FROM files WHERE place = ?"
            known = {_name(row[0]): row[1:] for row in self._database.execute(query, (place,))}
            gone = [(place, _stored(name)) for name in known.keys() - files.keys()]
            self._database.executemany("DELETE FROM files WHERE place = ? AND name = ?", gone)
            new = [(place, _stored(name), *state, now) for name, state in files.items() if known.get(name) != state]
            self._database.executemany("REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, 0)", new)

    def settle(self, now: float, budget: Budget) -> Waiting:
        """Hashes what has stopped changing, oldest first, as far as the budget goes.

        Raises:
            StoreError: An object store failed; what was read until then is kept.
        """
        query = """SELECT place, name, size, modified, changed, since, digest FROM files WHERE done = 0
                   ORDER BY modified, place, name"""
        self._look_again(now, budget)
        growing, unread, settled, wanted = 0, 0, dict[tuple[str, str], str](), list[_Wanted]()
        for place, stored, size, modified, changed, since, digest in self._database.execute(query).fetchall():
            name = _name(stored)
            if digest is not None:
                settled[place, name] = digest
            elif self._folder(place).may_grow(now - since):
                growing += 1
            elif budget.covers(size):
                wanted.append(_Wanted(place, name, State(size, modified, changed), now - since))
            else:
                unread += 1
        for file, read in self._read(wanted, budget):
            if isinstance(read, Read):
                settled[file.place, file.name] = read.digest
            else:
                growing, unread = (growing, unread + 1) if read is _LATE else (growing + 1, unread)
        (unsure,) = self._database.execute("SELECT COUNT(*) FROM files WHERE tag IS NOT NULL").fetchone()
        return Waiting(growing=growing, unread=unread, unsure=unsure, settled=settled)

    def _read(self, wanted: list["_Wanted"], budget: Budget) -> Iterator[tuple["_Wanted", Read | str | None]]:
        def read(file: _Wanted) -> Read | str | None:
            if budget.late:
                return _LATE
            return self._folder(file.place).read(file.name, file.state, file.quiet, budget.whole)

        for file, found in self._each(read, wanted):
            if isinstance(found, Read):
                query = "UPDATE files SET digest = ?, tag = ? WHERE place = ? AND name = ?"
                self._database.execute(query, (*found, file.place, _stored(file.name)))
            yield file, found

    def _look_again(self, now: float, budget: Budget) -> None:
        """Objects read so soon that the time in the listing could not tell of other bytes: their tags tell, once."""
        query = "SELECT place, name, tag FROM files WHERE tag IS NOT NULL AND since <= ?"
        rows = [row for row in self._database.execute(query, (now - SURE_SECONDS,)).fetchall() if budget.covers(0)]

        def look_at(row: tuple[str, str, str]) -> str | None:
            return _LATE if budget.late else self._folder(row[0]).tag(row[1])

        for (place, name, tag), found in self._each(look_at, rows):
            if found != _LATE:
                kept = "" if found == tag else ", digest = NULL, done = 0"
                self._database.execute(f"UPDATE files SET tag = NULL{kept} WHERE place = ? AND name = ?", (place, name))

    def _each(self, work: Callable[[_In], _Out], items: Sequence[_In]) -> Iterator[tuple[_In, _Out]]:
        try:
            # Disk or bucket, all folders of one landing are alike.
            yield from zip(items, folder_at(self._landing).each(work, items), strict=True)
        except StoreError:
            self._database.commit()
            raise

    def _folder(self, place: str) -> Folder:
        if place not in self._folders:
            self._folders[place] = folder_at(self._landing / place)
        return self._folders[place]

    def done(self, files: Iterable[tuple[str, str]]) -> None:
        """Notes files whose content a raw table has."""
        self._database.executemany("UPDATE files SET done = 1 WHERE place = ? AND name = ?",
                                   ((place, _stored(name)) for place, name in files))  # fmt: skip


def settled(path: Path, place: str) -> dict[str, tuple[State, str | None]]:
    """The files of one raw table that have stopped growing, with their digests, as ``found_files`` wants them."""
    if not path.is_file():
        return {}
    query = "SELECT name, size, modified, changed, digest FROM files WHERE place = ? AND digest IS NOT NULL"
    with closing(sqlite3.connect(path, timeout=20)) as database:
        rows = database.execute(query, (place,)).fetchall()
    return {
        _name(name): (State(size, modified, changed), digest if digest.startswith("sha256:") else None)
        for name, size, modified, changed, digest in rows
    }


def read_now(path: Path, place: str, files: Iterable[LandedFile]) -> None:
    """Notes the digests of files that were known by their state alone, now that the ingest has read them."""
    if not path.is_file():
        return
    rows = [(file.digest, place, _stored(file.name)) for file in files]
    with closing(sqlite3.connect(path, timeout=20)) as database, database:
        query = "UPDATE files SET digest = ? WHERE place = ? AND name = ? AND digest LIKE 'state:%'"
        database.executemany(query, rows)


def _stored(name: str) -> str | bytes:
    """A name as SQLite takes it: a disk's may be no text at all."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogateescape")
    return name


def _name(stored: str | bytes) -> str:
    return stored if isinstance(stored, str) else stored.decode("utf-8", "surrogateescape")


def files_now(home: Home, project: str, table: str, *, seen: bool = False) -> list[LandedFile]:
    """The files of one raw table in a home's landing.

    A folder on a disk is hashed anew. Objects whose digest the memory has are not read again, and those read now are
    remembered, so that asking once more costs a listing.

    Args:
        home: Whose landing.
        project, table: Which.
        seen: Only what the sensor has seen to be whole.
    """
    path, memory = home.landing / table, home.landing_memory(project)
    if not seen and (isinstance(path, Path) or not home.root.is_dir()):
        return found_files(path)
    left = not seen
    while left:
        with Watch.open(memory, home.landing) as watch:
            watch.note(look(home.landing, [table]), time.time())
            left = bool(watch.settle(time.time(), Budget(bytes=1 << 28, seconds=5)).unread)
    return found_files(path, settled(memory, table))
