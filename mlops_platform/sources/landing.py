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


def landed_files(folder: Path) -> list[LandedFile]:
    """Finished files of one raw table, by name; a content that lies there twice counts once.

    Hidden files and those with a suffix of unfinished transfers are left for later.

    Raises:
        IngestError: The folder has no file at all.
    """
    found: dict[str, LandedFile] = {}
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        if path.is_file() and not path.name.startswith((".", "_")) and not path.name.endswith(_UNFINISHED):
            file = LandedFile(path, digest_file(path))
            found.setdefault(file.digest, file)
    if not found:
        raise IngestError(
            required=f"at least one Parquet file in {folder}",
            found="none",
            remedy="let the upstream deliver into that folder, or see: mlops land --help",
        )
    return list(found.values())
