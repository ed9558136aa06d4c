"""The SQLite databases of the Dagster instance, held open while a run writes to them.

Dagster opens and closes a connection for each event. Closing a database's last connection makes SQLite fold its
write-ahead log into the file and sync it; another open connection spares that, a quarter of a no-op run's wall time.
"""

import contextlib
import sqlite3
from collections.abc import Iterator

from mlops_platform.resources.home import Home

_DATABASES = ("history/runs.db", "history/runs/*.db", "schedules/schedules.db")
_MOST = 8


@contextlib.contextmanager
def held_open(home: Home) -> Iterator[None]:
    """Keeps one idle connection to each of the newest databases until the block ends."""
    paths = sorted((p for pattern in _DATABASES for p in home.path.glob(pattern)), key=lambda p: -p.stat().st_mtime)
    with contextlib.ExitStack() as stack:
        for path in paths[:_MOST]:
            connection = stack.enter_context(contextlib.closing(sqlite3.connect(path)))
            # A connection counts as open only once it has read.
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield
