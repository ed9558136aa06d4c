"""The landing: which files have arrived, by content."""

from dataclasses import dataclass
from pathlib import Path

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


def finished_files(folder: Path) -> list[Path]:
    """Files by delivery time and name, without hidden ones and those with a suffix of unfinished transfers."""
    if not folder.is_dir():
        return []
    visible = (p for p in folder.iterdir() if not p.name.startswith((".", "_")) and not p.name.endswith(_UNFINISHED))
    return sorted((p for p in visible if p.is_file()), key=lambda p: (p.stat().st_mtime_ns, p.name))


def landed_files(folder: Path) -> list[LandedFile]:
    """Finished files of one raw table, in the order delivered; a content that lies there twice counts once.

    Raises:
        IngestError: The folder has no file at all.
    """
    found: dict[str, LandedFile] = {}
    for path in finished_files(folder):
        file = LandedFile(path, digest_file(path))
        found.setdefault(file.digest, file)
    if not found:
        raise IngestError(
            required=f"at least one Parquet file in {folder}",
            found="none",
            remedy="let the upstream deliver into that folder, or see: mlops land --help",
        )
    return list(found.values())
