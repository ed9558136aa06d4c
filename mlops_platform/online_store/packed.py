"""The store: one SQLite file, one packed row for each entity and view."""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from mlops_platform.errors import PlatformError, StoreError
from mlops_platform.online_store.features import Status
from mlops_platform.online_store.few import FewRows, few_rows
from mlops_platform.online_store.file import StoreFile
from mlops_platform.online_store.keys import key_bytes
from mlops_platform.online_store.rows import BIAS, columns_of, moments, pack, unpack_heads
from mlops_platform.online_store.view import PackedView

FEAST_TYPE = "mlops_platform.online_store.feast_store.PackedOnlineStore"
"""How ``feature_store.yaml`` names this store."""
_AGES = 2**62
"""Microseconds beyond which a ttl is no limit."""
_TIME = pl.Datetime("us", "UTC")
_AT_ONCE = 30_000
"""Entities of one query; SQLite takes 32,766 parameters."""
_PRESENT, _MISSING, _STALE, _LATER = (np.uint8(status) for status in Status)


@dataclass(frozen=True, kw_only=True)
class ViewRows:
    """What a view answers for N keys.

    Attributes:
        values: The columns asked for, N rows, null where the row is missing or stale.
        status: UInt8 of ``Status`` [N].
        events, knowns: Datetime us UTC [N]; null where there is no row, or its known timestamp was not told.
    """

    values: pl.DataFrame
    status: np.ndarray
    events: pl.Series
    knowns: pl.Series


class PackedStore:
    """Newest rows by entity key, safe between threads and processes.

    A write is one transaction: a reader beside it sees the rows before it or those after it, and a process killed in
    it leaves those before it. Readers never wait, writers wait for each other.
    """

    def __init__(self, path: Path) -> None:
        """Names the store's file; it is made by the first ``declare`` or ``write``."""
        self.path = path
        self._file = StoreFile(path)

    def declare(self, view: PackedView) -> None:
        """Makes room for a view, or says its new columns: rows of the old ones stay until the next write."""
        self._file.make()
        if self._declared(view) == _stamp(view):
            return
        with self._transaction() as connection:
            self._declare(connection, view)

    def write(self, view: PackedView, rows: pl.DataFrame) -> None:
        """Keeps each row that is not older, by (event, known), than the one of the same key.

        Args:
            view: The schema.
            rows: N rows: keys, ``event_timestamp``, ``known_timestamp`` (null: untold), and the columns of the view.

        Raises:
            PlatformError: The rows are not as the schema says, a key is null, or the view was declared otherwise.
        """
        self.write_packed(view, key_bytes(view.keys, rows), pack(view, rows))

    def write_packed(self, view: PackedView, keys: Sequence[bytes | None], rows: Sequence[bytes]) -> None:
        """Does what ``write`` does, given keys and rows as bytes."""
        gone = sum(key is None for key in keys)
        if gone:
            raise PlatformError(required=f"whole entity keys in view {view.name}", found=f"{gone} keys with a null",
                                remedy="leave such rows out: nobody could ask for them")  # fmt: skip
        self._file.make()
        # Neighbours in the table are written one after the other: half the time.
        ordered = sorted(zip(keys, rows, strict=True), key=lambda pair: pair[0])  # type: ignore[arg-type, return-value]
        table = _table(view)
        with self._transaction() as connection:
            self._prepare(connection, view)
            connection.executemany(
                f"INSERT INTO {table} VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET row = excluded.row "
                "WHERE substr(excluded.row, 1, 16) >= substr(row, 1, 16)",
                ordered,
            )

    def read(self, view: PackedView, keys: pl.DataFrame, at: pl.Series, columns: Sequence[str] | None = None
             ) -> ViewRows:  # fmt: skip
        """Reads the rows of N keys in one query.

        Args:
            view: The schema, and the ttl by which rows are judged.
            keys: N rows with the key columns; a key may come several times. One with a null has no row.
            at: Time of each question, Datetime UTC [N].
            columns: Which columns; None: all, as the view has them.

        Raises:
            PlatformError: The store or the view is not there, or its rows were written with other columns.
        """
        names = tuple(view.columns) if columns is None else tuple(columns)
        heads, rows = self._found(view, key_bytes(view.keys, keys))
        status = _status(view, heads, at)
        gone = status == _MISSING
        unseen = gone | (status == _STALE)
        if unseen.any():
            heads["nulls"][unseen] = 255
        return ViewRows(
            values=pl.DataFrame(columns_of(view, names, heads, rows)),
            status=status,
            events=moments(view.name, heads["event"], gone),
            knowns=moments(view.name, heads["known"], gone | (heads["known"] == 0)),
        )

    def read_few(self, view: PackedView, keys: pl.DataFrame, at: Sequence[int], columns: Sequence[str]) -> FewRows:
        """Does what ``read`` does, for a few keys, whose columns cost more than their rows.

        Args:
            view, keys, columns: As in ``read``.
            at: Time of each question, microseconds since 1970 in UTC [N].
        """
        asked = key_bytes(view.keys, keys)
        found = self.read_packed(view, asked)
        return few_rows(view, columns, [None if key is None else found.get(key) for key in asked], at)

    def read_packed(self, view: PackedView, keys: Sequence[bytes | None]) -> dict[bytes, bytes]:
        """The rows that are there, as bytes, by key."""
        wanted = [key for key in dict.fromkeys(keys) if key is not None]
        found: list[tuple[bytes, bytes]] = []
        with self._reading(view) as connection:
            for start in range(0, len(wanted), _AT_ONCE):
                part = wanted[start : start + _AT_ONCE]
                marks = ",".join("?" * len(part))
                found += connection.execute(f"SELECT key, row FROM {_table(view)} WHERE key IN ({marks})", part)
        return dict(found)

    def drop(self, name: str) -> None:
        """Forgets a view and its rows, if it is there."""
        if self.path.is_file():
            with self._transaction() as connection:
                connection.execute(f"DROP TABLE IF EXISTS {_quoted(name)}")
                connection.execute("DELETE FROM views WHERE name = ?", (name,))

    def delete_if_empty(self) -> None:
        """Deletes the file if it has no view any more."""
        if self.path.is_file() and not self._file.connection().execute("SELECT count(*) FROM views").fetchone()[0]:
            self._file.delete()

    def count(self, view: PackedView) -> int:
        """How many entities have a row."""
        with self._reading(view) as connection:
            return connection.execute(f"SELECT count(*) FROM {_table(view)}").fetchone()[0]

    def close(self) -> None:
        """Closes this thread's connection."""
        self._file.close()

    def _found(self, view: PackedView, asked: Sequence[bytes | None]) -> tuple[np.ndarray, list[bytes]]:
        """Head and bytes for each key asked; a missing one has a head of its own and no bytes."""
        by_key = self.read_packed(view, asked)
        heads = np.zeros(len(by_key) + 1, view.head)
        heads[:-1] = unpack_heads(view, list(by_key.values()))
        place: dict[bytes | None, int] = {key: at for at, key in enumerate(by_key)}
        order = np.array([place.get(key, -1) for key in asked], np.intp)
        nothing = bytes(view.head.itemsize)
        return heads[order], [by_key.get(key, nothing) for key in asked] if view.variable else []  # type: ignore[arg-type]

    def _declare(self, connection: sqlite3.Connection, view: PackedView) -> None:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {_table(view)} (key BLOB PRIMARY KEY, row BLOB) WITHOUT ROWID")
        connection.execute(
            "INSERT INTO views VALUES (?, ?, ?) ON CONFLICT(name) DO UPDATE SET declared = excluded.declared",
            (view.name, _stamp(view), _stamp(view)),
        )

    def _prepare(self, connection: sqlite3.Connection, view: PackedView) -> None:
        stamps = connection.execute("SELECT declared, packed FROM views WHERE name = ?", (view.name,)).fetchone()
        if stamps is None:
            return self._declare(connection, view)
        if stamps[0] != _stamp(view):
            raise PlatformError(
                required=f"view {view.name} to be declared with {view.described}",
                found=f"other columns in {self.path.name}, as Feast's registry was last applied",
                remedy="apply the Feast repository of this revision, or write with the revision that was applied",
            )
        if stamps[1] != _stamp(view):
            connection.execute(f"DELETE FROM {_table(view)}")
            connection.execute("UPDATE views SET packed = declared WHERE name = ?", (view.name,))
        return None

    def _declared(self, view: PackedView) -> bytes | None:
        row = self._file.connection().execute("SELECT declared FROM views WHERE name = ?", (view.name,)).fetchone()
        return row[0] if row else None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._file.connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _reading(self, view: PackedView) -> Iterator[sqlite3.Connection]:
        try:
            yield self._file.connection()
        except FileNotFoundError as error:
            raise self._not_online(view, "no such file") from error
        except sqlite3.Error as error:
            if "no such table" in str(error):
                raise self._not_online(view, "no such view") from error
            raise StoreError(
                required=f"the online store {self.path} to answer", found=f"{type(error).__name__}: {error}",
                remedy="see that nobody holds it locked; if it is damaged, delete it and materialize feast/online",
            ) from error  # fmt: skip

    def _not_online(self, view: PackedView, found: str) -> PlatformError:
        return PlatformError(required=f"view {view.name} to be online, in {self.path}", found=found,
                             remedy="materialize the project's feast/online asset")  # fmt: skip


def _status(view: PackedView, heads: np.ndarray, at: pl.Series) -> np.ndarray:
    if at.null_count():
        raise PlatformError(required=f"a time of each question to view {view.name}", found=f"{at.null_count()} nulls",
                            remedy="give the entities an event_timestamp")  # fmt: skip
    asked = at.cast(_TIME).cast(pl.Int64).to_numpy()
    events = (heads["event"].astype("<u8") ^ BIAS).view(np.int64)
    status = np.where(events > asked, _LATER, _PRESENT)
    if view.ttl:
        status[events < asked - min(view.ttl // timedelta(microseconds=1), _AGES)] = _STALE
    status[heads["stamp"] == 0] = _MISSING
    return status


def _table(view: PackedView) -> str:
    return _quoted(view.name)


def _quoted(name: str) -> str:
    return '"rows_' + name.replace('"', '""') + '"'


def _stamp(view: PackedView) -> bytes:
    return view.stamp.to_bytes(8, "little")
