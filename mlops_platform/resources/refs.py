"""What each station made last: the small, replaced files through which one station finds another's artifact."""

import json
from datetime import UTC, datetime
from pathlib import Path

from mlops_platform.errors import MissingArtifactError
from mlops_platform.manifest import Manifest
from mlops_platform.resources.artifacts import Artifact, ArtifactStore, write_whole
from mlops_platform.resources.home import Home


class Refs:
    """The newest artifact of each station of a home."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.store = ArtifactStore(home)

    def write(self, manifest: Manifest) -> None:
        """Points the station at an artifact."""
        entry = {"kind": manifest.kind, "digest": manifest.digest, "at": datetime.now(UTC).isoformat()}
        write_whole(self._path(manifest.station), json.dumps(entry).encode(), replace=True)

    def forget(self, station: str) -> None:
        """The station stands for nothing until it is written again."""
        self._path(station).unlink(missing_ok=True)

    def find(self, station: str) -> Artifact | None:
        """The station's artifact; None where it was never materialized."""
        path = self._path(station)
        if not path.is_file():
            return None
        entry = json.loads(path.read_bytes())
        return self.store.open(entry["kind"], entry["digest"])

    def read(self, station: str) -> Artifact:
        """The station's artifact.

        Raises:
            MissingArtifactError: The station was never materialized in this home.
        """
        found = self.find(station)
        if found is None:
            raise MissingArtifactError(
                required=f"{station} to have been materialized",
                found=f"nothing of it in {self.home.root}",
                remedy=f"mlops materialize --select 'key:\"{station}\"'  (or '*' for the whole graph)",
            )
        return found

    def stations(self) -> list[str]:
        """Asset keys, joined by slashes, of every station ever materialized here."""
        return sorted(p.relative_to(self.home.refs).with_suffix("").as_posix() for p in self.home.refs.rglob("*.json"))

    def _path(self, station: str) -> Path:
        return self.home.refs / f"{station}.json"
