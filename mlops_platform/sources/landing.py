"""The landing: which files have arrived, by content."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mlops_platform.errors import IngestError
from mlops_platform.manifest import digest_file, short

_UNFINISHED = (".tmp", ".part", ".crdownload", "~")


@dataclass(frozen=True)
class LandedFile:
    """One landed file.

    Attributes:
        path: Where it lies.
        digest: Of its bytes.
    """

    path: Path
    digest: str

    @property
    def id(self) -> str:
        """The short name by which raw rows remember their file (column ``_file``)."""
        return short(self.digest)


class State(NamedTuple):
    """What the disk says of a file without reading it; another state means that it may have other bytes.

    Attributes:
        size: In bytes.
        modified: When its bytes were written, in nanoseconds, as its writer may have set it.
        changed: When anything of it changed; the kernel sets it, so a rewrite with the old time and size is noticed.
    """

    size: int
    modified: int
    changed: int


def state_of(facts: os.stat_result) -> State:
    """The state in what ``stat`` says."""
    return State(facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


def listed(folder: Path) -> dict[str, State]:
    """Files by name, without hidden ones and those with a suffix of unfinished transfers."""
    found: dict[str, State] = {}
    if not folder.is_dir():
        return found
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith((".", "_")) or name.endswith(_UNFINISHED):
                continue
            try:
                if entry.is_file():
                    found[name] = state_of(entry.stat())
            except FileNotFoundError:
                # What goes away between being listed and being looked at was never seen.
                continue
    return found


def found_files(folder: Path, settled: Mapping[str, tuple[State, str | None]] | None = None) -> list[LandedFile]:
    """Finished files of one raw table, in the order delivered; a content that lies there twice counts once.

    Args:
        folder: Of the raw table.
        settled: State and, where it is known, digest of the files that have stopped growing, by name: no others are
            taken, and none whose state is another by now. None takes all, as a person means it who asks by hand.
    """
    files: dict[str, LandedFile] = {}
    for name, state in sorted(listed(folder).items(), key=lambda item: (item[1].modified, item[0])):
        seen, digest = (state, None) if settled is None else settled.get(name, (None, None))
        if seen != state:
            continue
        with contextlib.suppress(FileNotFoundError):
            file = LandedFile(folder / name, digest or digest_file(folder / name))
            files.setdefault(file.digest, file)
    return list(files.values())


def landed_files(folder: Path) -> list[LandedFile]:
    """All finished files of one raw table, as ``found_files`` gives them.

    Raises:
        IngestError: The folder has no file at all.
    """
    return require_files(folder, found_files(folder))


def require_files(folder: Path, files: list[LandedFile]) -> list[LandedFile]:
    """The files given.

    Raises:
        IngestError: There is none.
    """
    if not files:
        raise IngestError(
            required=f"at least one Parquet file in {folder}",
            found="none",
            remedy="let the upstream deliver into that folder, or see: mlops land --help",
        )
    return files
