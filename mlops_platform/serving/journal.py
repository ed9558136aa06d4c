"""The journal of one process: what is appended survives the process, or the machine, before an answer is sent."""

import contextlib
import fcntl
import os
import threading
import time
import uuid
from pathlib import Path

from mlops_platform.errors import PlatformError
from mlops_platform.resources.artifacts import sync
from mlops_platform.resources.prediction_log.segments import segment_name
from mlops_platform.spec import Serving, duration

LARGEST = 16 * 2**20
"""Bytes from which on a segment is followed by the next."""
LONGEST = 20.0
"""Seconds after which a segment is followed by the next, so that it can be shipped."""


class UnloggedError(PlatformError):
    """An answer whose record could not be written, so that it is not sent: 503, the next one may do."""


class Journal:
    """Appends records to segments of a folder; threads of the process that began it may append at once.

    With ``durability="synced"`` an append returns when its record is on the disk; appends that wait at the same time
    share one sync. With ``flushed`` it returns when the operating system has the record, and a thread syncs at least
    every ``sync_every``.

    Attributes:
        folder: Where its segments are.
        name: 32 hex digits, new for each journal.
        trouble: What the disk said at the last sync that nobody waited for, or None.
    """

    trouble: str | None = None

    def __init__(self, folder: Path, serving: Serving, *, largest: int = LARGEST, longest: float = LONGEST) -> None:
        """Begins a journal; its first segment is made with its first record.

        Args:
            folder: ``Home.journals`` of the model.
            serving: How durable a record is when it is appended.
            largest: Bytes of a segment.
            longest: Seconds for which a segment is written.
        """
        self.folder, self.name, self._process = folder, uuid.uuid4().hex, os.getpid()
        self._synced = serving.durability == "synced"
        self._every = duration(serving.sync_every).total_seconds()
        self._largest, self._longest = largest, longest
        self._writing = threading.Lock()
        self._segment: _Writing | None = None
        self._numbers = 0
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name=f"journal {self.name[:8]}", daemon=True)
        self._keeper.start()

    def append(self, record: bytes) -> None:
        """Writes one record.

        Raises:
            UnloggedError: It could not be written or synced: the disk is full, for instance. Nothing of it remains,
                or it remains whole; the next append starts anew.
        """
        try:
            with self._writing:
                segment = self._usable()
                end = segment.write(record)
            if self._synced:
                segment.sync(end)
        except OSError as error:
            raise UnloggedError(
                required=f"room and a sound disk for the log of answers in {self.folder}", found=str(error),
                remedy="the answer was not sent; ask again when the disk has room (mlops gc --dry-run lists what "
                "may go)",
            ) from error  # fmt: skip

    def close(self) -> None:
        """Syncs what was appended, and lets the segment be shipped."""
        self._closing.set()
        self._keeper.join()
        with self._writing:
            self._seal()

    def _usable(self) -> "_Writing":
        """The segment to write to; the caller holds the lock."""
        if self._closing.is_set():
            raise OSError("the journal is closed")
        if self._process != os.getpid():
            # Its lock, its place in the file and its thread stayed with the process that began it.
            raise OSError("the journal was begun by the process that this one was forked from")
        segment = self._segment
        if segment is not None and (segment.broken or segment.written >= self._largest or self._old(segment)):
            self._seal()
        if self._segment is None:
            self._numbers += 1
            self._segment = _begin(self.folder, segment_name(self.name, self._numbers))
        return self._segment

    def _seal(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.close()

    def _old(self, segment: "_Writing") -> bool:
        return time.monotonic() - segment.begun > self._longest

    def _keep(self) -> None:
        """Syncs in time, and ends a segment that grew old while nobody asked."""
        while not self._closing.wait(min(self._every, self._longest / 4)):
            try:
                with self._writing:
                    segment = self._segment
                    if segment is not None and self._old(segment):
                        self._seal()
                if segment is not None:
                    segment.sync(segment.written)
                self.trouble = None
            except OSError as error:
                # The segment is broken now, and the next append begins another.
                self.trouble = str(error)


def _begin(folder: Path, name: str) -> "_Writing":
    while True:
        # Whoever clears away drafts of the dead may take this one before it is locked.
        with contextlib.suppress(FileNotFoundError):
            return _Writing(folder, name)


class _Writing:
    """A segment while it is written, locked by this process.

    Attributes:
        begun: When, by the monotonic clock.
        written: Bytes of whole records.
        broken: Whether the disk failed it, so that no more is written to it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{name}"
        self._file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            draft.rename(folder / name)
            sync(folder)
        except OSError:
            os.close(self._file)
            draft.unlink(missing_ok=True)
            raise
        self.begun, self.written, self.broken = time.monotonic(), 0, False
        self._synced = 0
        self._syncing = threading.Lock()

    def write(self, record: bytes) -> int:
        """Appends a record, or nothing of it; returns where it ends."""
        left = memoryview(record)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            self._take_back()
            raise
        self.written += len(record)
        return self.written

    def _take_back(self) -> None:
        self.broken = True
        os.ftruncate(self._file, self.written)
        self.broken = False

    def sync(self, end: int) -> None:
        """Returns when all up to ``end`` is on the disk; one sync serves all who wait."""
        with self._syncing:
            if self._synced >= end:
                return
            if self.broken:
                raise OSError("the disk did not take what was written before")
            until = self.written
            try:
                os.fdatasync(self._file)
            except OSError:
                # The kernel tells of lost pages once: a later sync that succeeds would mean nothing.
                self.broken = True
                raise
            self._synced = until

    def close(self) -> None:
        """Syncs and lets go of the lock."""
        try:
            if not self.broken:
                self.sync(self.written)
        finally:
            with self._syncing:
                os.close(self._file)
