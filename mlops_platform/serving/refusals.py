"""Versions that did not verify or warm: one small record each, from which people are told."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from mlops_platform.errors import PlatformError
from mlops_platform.manifest import canonical_json, digest_of
from mlops_platform.resources.aliases import Pointed
from mlops_platform.resources.artifacts import write_whole


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a version does not answer.

    Attributes:
        at: When it was first refused, ISO 8601 in UTC.
        alias: Which alias pointed to it.
        version: In the registry.
        checkpoint: Digest that its tag names; None where it has none.
        error: What kind of error it was.
        required, found, remedy: Its words, which may name folders of the machine.
        live: Version that answers on; None if none does.
    """

    at: str
    alias: str
    version: str
    checkpoint: str | None
    error: str
    required: str
    found: str
    remedy: str
    live: str | None

    @classmethod
    def of(cls, error: PlatformError, refused: Pointed, *, alias: str, at: str, live: str | None) -> "Refusal":
        """The refusal that an error means."""
        return cls(at=at, alias=alias, version=refused.version, checkpoint=refused.checkpoint, live=live,
                   error=type(error).__name__,
                   required=error.required, found=error.found, remedy=error.remedy)  # fmt: skip

    @property
    def reason(self) -> str:
        """In a sentence that may leave the machine."""
        stays = f"version {self.live} answers on" if self.live else "no version answers"
        return f"Version {self.version}, alias {self.alias}, did not verify or warm ({self.error}): {stays}."


class Refusals:
    """The records of one model, one file a version and checkpoint, put if absent by whichever worker comes first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def record(self, refusal: Refusal) -> None:
        """Writes the record of a version, unless there is one."""
        name = digest_of([refusal.version, refusal.checkpoint]).removeprefix("sha256:")[:16]
        path = self.folder / f"{name}.json"
        if not path.is_file():
            write_whole(path, canonical_json(asdict(refusal)))

    def all(self) -> Iterator[tuple[str, Refusal]]:
        """Name and record of each, oldest first."""
        found = ((p.stem, Refusal(**json.loads(p.read_bytes()))) for p in self.paths())
        yield from sorted(found, key=lambda entry: entry[1].at)

    def paths(self) -> list[Path]:
        """The files; a draft of one begins with a dot."""
        return [path for path in self.folder.glob("*.json") if not path.name.startswith(".")]
