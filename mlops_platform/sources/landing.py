"""The landing: which files have arrived, by content."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_platform.errors import IngestError
from mlops_platform.manifest import short
from mlops_platform.sources.folders import Folder, State, folder_at

if TYPE_CHECKING:
    from upath import UPath


@dataclass(frozen=True)
class LandedFile:
    """One landed file.

    Attributes:
        folder: Where it lies: a folder, or a prefix of a bucket.
        name: Its name there.
        digest: Of its bytes.
    """

    folder: "Path | UPath"
    name: str
    digest: str

    @property
    def id(self) -> str:
        """The short name by which raw rows remember their file (column ``_file``)."""
        return short(self.digest)

    @property
    def shown(self) -> str:
        """Its name as text, which a disk's need not be."""
        return self.name.encode("utf-8", "backslashreplace").decode()

    def read(self) -> bytes:
        """Its bytes as they are now.

        Raises:
            FileNotFoundError: It is gone.
        """
        return (self.folder / self.name).read_bytes()


def found_files(
    path: "Path | UPath", settled: Mapping[str, tuple[State, str | None]] | None = None
) -> list[LandedFile]:
    """Finished files of one raw table, in the order delivered; a content that lies there twice counts once.

    Args:
        path: Of the raw table's folder.
        settled: State and, where it is known, digest of the files that have stopped growing, by name: no others are
            taken, and none whose state is another by now. None takes all, as a person means it who asks by hand.
    """
    folder, wanted = folder_at(path), dict[str, str | None]()
    for name, state in sorted(folder.listed().items(), key=lambda item: (item[1].modified, item[0])):
        seen, digest = (state, None) if settled is None else settled.get(name, (None, None))
        if seen == state:
            wanted[name] = digest
    unread = [name for name, digest in wanted.items() if digest is None]
    read = dict(zip(unread, folder.each(lambda name: _digest(folder, name), unread), strict=True))
    files: dict[str, LandedFile] = {}
    for name, known in wanted.items():
        if digest := known or read[name]:
            files.setdefault(digest, LandedFile(path, name, digest))
    return list(files.values())


def _digest(folder: Folder, name: str) -> str | None:
    try:
        return folder.digest(name)
    except FileNotFoundError:
        return None


def require_files(path: "Path | UPath", files: list[LandedFile]) -> list[LandedFile]:
    """The files given.

    Raises:
        IngestError: There is none.
    """
    if not files:
        raise IngestError(
            required=f"at least one Parquet file in {path}",
            found="none",
            remedy="let the upstream deliver into that folder, or see: mlops land --help",
        )
    return files
