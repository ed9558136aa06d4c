"""A raw table's folder of the landing, on a disk or in a bucket: what lies there now, and what its bytes are."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, TypeVar

from mlops_platform.manifest import digest_file, digest_of

if TYPE_CHECKING:
    from upath import UPath

QUIET_SECONDS = 4.0
"""How long a file on a disk stays as it is before it counts as whole."""
PATIENCE_SECONDS = 30.0
"""How long one waits that lacks a Parquet file's last four bytes; then the ingest may refuse it."""
SURE_SECONDS = 2.0
"""After this, an object written anew has another time in the listing: S3 counts whole seconds."""
_UNFINISHED = (".tmp", ".part", ".crdownload", "~")
_MAGIC = b"PAR1"
_THREADS, _BLOCK = 16, 8 << 20
_In = TypeVar("_In")
_Out = TypeVar("_Out")


class State(NamedTuple):
    """What a listing says of a file without reading it; another state means that it may have other bytes.

    Attributes:
        size: In bytes.
        modified: When its bytes were written, in nanoseconds; on a disk, as its writer may have set it.
        changed: When anything of it changed; the kernel sets it, so a rewrite with the old time and size is noticed.
            Zero for an object: its tag is looked at once more where the time in the listing may not tell.
    """

    size: int
    modified: int
    changed: int


class Read(NamedTuple):
    """A whole file that was read.

    Attributes:
        digest: Of its bytes; or of its state, ``state:…``, where it is too large to be read between two ticks.
        tag: What has to be found again later for the digest to hold; None where the state tells enough.
    """

    digest: str
    tag: str | None


class Folder(Protocol):
    """What the landing's watch and the ingest need of a folder."""

    def listed(self) -> dict[str, State]:
        """Files by name, without hidden ones and those with a suffix of unfinished transfers."""

    def may_grow(self, quiet: float) -> bool:
        """Whether a file that has been as it is for so many seconds may still be being written."""

    def read(self, name: str, state: State, quiet: float, largest: int) -> Read | None:
        """Reads a file that is whole; None where it is not, is gone or changed meanwhile, which the next tick notes."""

    def tag(self, name: str) -> str | None:
        """What ``Read.tag`` would be now; None where the file is gone."""

    def digest(self, name: str) -> str:
        """Digest of the bytes there now.

        Raises:
            FileNotFoundError: It is gone.
        """

    def each(self, work: Callable[[_In], _Out], items: Iterable[_In]) -> Iterator[_Out]:
        """Does some work for each item, in order, as many at once as the place serves best."""


def folder_at(path: "Path | UPath") -> Folder:
    """The folder at a path."""
    return DiskFolder(path) if isinstance(path, Path) else BucketFolder(path)


@dataclass(frozen=True)
class DiskFolder:
    """A folder whose files are seen while they are written."""

    path: Path

    def listed(self) -> dict[str, State]:
        """See ``Folder``."""
        found: dict[str, State] = {}
        if not self.path.is_dir():
            return found
        with os.scandir(self.path) as entries:
            for entry in entries:
                name = entry.name
                if not _finished(name):
                    continue
                try:
                    if entry.is_file():
                        found[name] = _state(entry.stat())
                except FileNotFoundError:
                    # What goes away between being listed and being looked at was never seen.
                    continue
        return found

    def may_grow(self, quiet: float) -> bool:
        """See ``Folder``."""
        return quiet < QUIET_SECONDS

    def read(self, name: str, state: State, quiet: float, largest: int) -> Read | None:
        """See ``Folder``."""
        path = self.path / name
        try:
            if path.suffix == ".parquet" and quiet < PATIENCE_SECONDS and not _has_its_end(path):
                return None
            # Too large to be read between two ticks: its state stands for it, and the ingest reads it.
            digest = digest_file(path) if state.size <= largest else "state:" + digest_of(list(state))
            return Read(digest, None) if _state(path.stat()) == state else None
        except FileNotFoundError:
            return None

    def tag(self, name: str) -> str | None:
        """See ``Folder``; never needed, since the kernel's time tells every change."""
        return None

    def digest(self, name: str) -> str:
        """See ``Folder``."""
        return digest_file(self.path / name)

    def each(self, work: Callable[[_In], _Out], items: Iterable[_In]) -> Iterator[_Out]:
        """See ``Folder``: one after the other."""
        return map(work, items)


@dataclass(frozen=True)
class BucketFolder:
    """A prefix of a bucket: an object is there whole, or not at all."""

    path: "UPath"
    threads: ClassVar[int] = _THREADS

    def listed(self) -> dict[str, State]:
        """See ``Folder``."""
        from mlops_platform.resources.object_store import listed_objects

        return {name: State(size, modified, 0) for name, size, modified in listed_objects(self.path) if _finished(name)}

    def may_grow(self, quiet: float) -> bool:
        """See ``Folder``: never."""
        return False

    def read(self, name: str, state: State, quiet: float, largest: int) -> Read | None:
        """See ``Folder``."""
        from mlops_platform.resources.object_store import opened

        try:
            with opened(self.path / name) as found:
                if (found.size, found.modified) != (state.size, state.modified // 1_000_000_000):
                    return None
                whole = state.size <= largest
                digest = _digest(found.stream) if whole else "state:" + digest_of([*state, found.tag])
        except FileNotFoundError:
            return None
        return Read(digest, found.tag if quiet < SURE_SECONDS else None)

    def tag(self, name: str) -> str | None:
        """See ``Folder``."""
        from mlops_platform.resources.object_store import opened

        with contextlib.suppress(FileNotFoundError), opened(self.path / name) as found:
            return found.tag
        return None

    def digest(self, name: str) -> str:
        """See ``Folder``."""
        from mlops_platform.resources.object_store import opened

        with opened(self.path / name) as found:
            return _digest(found.stream)

    def each(self, work: Callable[[_In], _Out], items: Iterable[_In]) -> Iterator[_Out]:
        """See ``Folder``: many at once, since each waits for the network; after an error, none is begun."""
        pool = ThreadPoolExecutor(self.threads)
        try:
            yield from pool.map(work, items)
        finally:
            pool.shutdown(cancel_futures=True)


def _finished(name: str) -> bool:
    return bool(name) and not name.startswith((".", "_")) and not name.endswith(_UNFINISHED)


def _state(facts: os.stat_result) -> State:
    return State(facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


def _has_its_end(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - len(_MAGIC)))
        return file.read() == _MAGIC


def _digest(stream: "_Stream") -> str:
    hasher = hashlib.sha256()
    while block := stream.read(_BLOCK):
        hasher.update(block)
    return "sha256:" + hasher.hexdigest()


class _Stream(Protocol):
    def read(self, size: int) -> bytes: ...
