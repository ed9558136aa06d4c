"""The file of the store: made whole, opened once for each thread, and anew where it was replaced."""

import contextlib
import fcntl
import os
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

_PATIENCE = 60.0
"""Seconds that a writer waits for another."""
_BESIDE = ("-wal", "-shm")
"""What SQLite keeps beside a file, by name."""
_OF_THE_PARENT: list[sqlite3.Connection] = []
"""Connections from before a fork: closing one here would let go the locks of the parent's file."""
_VIEWS = "CREATE TABLE views (name TEXT PRIMARY KEY, declared BLOB NOT NULL, packed BLOB NOT NULL) WITHOUT ROWID"


class StoreFile:
    """One SQLite file, for threads and across forks."""

    def __init__(self, path: Path) -> None:
        """Names it; ``make`` makes it."""
        self.path = path
        self._local = threading.local()

    def connection(self) -> sqlite3.Connection:
        """This thread's connection.

        Raises:
            FileNotFoundError: There is no file.
        """
        # A connection must not cross a fork, nor outlive the file that it was opened on.
        file = self.path.stat()
        mine = (os.getpid(), file.st_dev, file.st_ino)
        if getattr(self._local, "connection", None) is None or self._local.mine != mine:
            self.close()
            connection = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA mmap_size = 1073741824")
            self._local.connection, self._local.mine = connection, mine
        return self._local.connection

    def make(self) -> None:
        """Makes the file whole beside its place and links it there, so that nobody ever sees half of it."""
        if self.path.is_file():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}")
        connection = sqlite3.connect(beside, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(_VIEWS)
        finally:
            connection.close()
        with self._alone():
            if not self.path.is_file():
                # Who deleted the file alone left the log of its last writes, which SQLite would write into this one.
                for suffix in _BESIDE:
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
                os.link(beside, self.path)
        beside.unlink()

    def close(self) -> None:
        """Closes this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            return
        if self._local.mine[0] == os.getpid():
            connection.close()
        else:
            _OF_THE_PARENT.append(connection)
        self._local.connection = None

    def delete(self) -> None:
        """Deletes the file and what SQLite keeps beside it."""
        self.close()
        with self._alone():
            for suffix in ("", *_BESIDE):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """While nobody else makes or deletes a store in this folder."""
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)
