"""What each station made last: the small, replaced files through which one station finds another's artifact."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops_platform.errors import MissingArtifactError
from mlops_platform.manifest import Manifest, Recipe
from mlops_platform.resources.artifacts import Artifact, ArtifactStore, write_whole
from mlops_platform.resources.home import Home


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One time that a station was asked for its artifact.

    Attributes:
        recipe: Key of the recipe by which.
        before: Key of the recipe before; None where there was none.
        hit: Whether an earlier artifact was taken.
        because: Why an artifact of this very recipe could not be taken.
        run_id: Of the Dagster run.
        at: When, ISO 8601 in UTC.
    """

    recipe: str
    before: str | None
    hit: bool
    because: str | None
    run_id: str
    at: str


@dataclass(frozen=True, kw_only=True)
class Story:
    """What is known of why a station stands for what it does.

    Attributes:
        last: When it was asked last.
        made: When it last worked; None where it never did since this is recorded.
    """

    last: Asked
    made: Asked | None


class Refs:
    """The newest artifact of each station of a home."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.store = ArtifactStore(home)

    def write(self, manifest: Manifest, recipe: str = "", *, station: str = "", hit: bool = False,
              because: str | None = None, run_id: str = "") -> None:  # fmt: skip
        """Points the station at an artifact.

        Args:
            manifest: The artifact's.
            station: Which; empty for the manifest's. Stations whose bytes are equal share an artifact, and its manifest
                names the one that made it first.
            recipe: Key of the recipe that it was asked by; empty for the manifest's.
            hit, because, run_id: As of ``Asked``.
        """
        station = station or manifest.station
        had, now = self._entry(station), datetime.now(UTC).isoformat()
        asked = Asked(recipe=recipe or manifest.recipe.key, before=self._last_recipe(had), hit=hit, because=because,
                      run_id=run_id, at=now)  # fmt: skip
        made = had.get("made") if hit else asdict(asked)
        entry = {"kind": manifest.kind, "digest": manifest.digest, "at": now, "asked": asdict(asked), "made": made}
        write_whole(self._path(station), json.dumps(entry).encode(), replace=True)

    def forget(self, station: str) -> None:
        """The station stands for nothing until it is written again; what is known of why it ran stays."""
        had = self._entry(station)
        if had:
            before = self._last_recipe(had)
            entry = {**had, "kind": None, "digest": None, "asked": had.get("asked") or {"recipe": before}}
            write_whole(self._path(station), json.dumps(entry).encode(), replace=True)

    def find(self, station: str) -> Artifact | None:
        """The station's artifact; None where it was never materialized."""
        entry = self._entry(station)
        return self.store.open(entry["kind"], entry["digest"]) if entry.get("digest") else None

    def story(self, station: str) -> Story | None:
        """Why the station stands for what it does, as far as that was recorded."""
        entry = self._entry(station)
        if not entry.get("digest") or "asked" not in entry:
            return None
        return Story(last=Asked(**entry["asked"]), made=Asked(**entry["made"]) if entry["made"] else None)

    def recipe(self, station: str) -> Recipe | None:
        """The recipe that the station was asked by last."""
        key = self._last_recipe(self._entry(station))
        return self.store.recipe(key) if key else None

    def digest(self, station: str) -> str | None:
        """Digest of the station's artifact, which is not opened; None where it stands for nothing."""
        return self._entry(station).get("digest")

    def replaced(self, station: str) -> tuple[int, int] | None:
        """What differs whenever the station's entry was written anew; None where there is none."""
        try:
            found = self._path(station).stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _entry(self, station: str) -> dict[str, Any]:
        path = self._path(station)
        return json.loads(path.read_bytes()) if path.is_file() else {}

    def _last_recipe(self, entry: Mapping[str, Any]) -> str | None:
        if entry.get("asked"):
            return entry["asked"]["recipe"]
        # A home of before recipes were recorded here: the artifact knows which one gave it first.
        return self.store.open(entry["kind"], entry["digest"]).manifest.recipe.key if entry.get("digest") else None

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
        paths = self.home.refs.rglob("*.json")
        stations = sorted(path.relative_to(self.home.refs).with_suffix("").as_posix() for path in paths)
        return [station for station in stations if self._entry(station).get("digest")]

    def _path(self, station: str) -> Path:
        return self.home.refs / f"{station}.json"


class Followed:
    """What one station stands for, for those who ask at each request: its file is read again where it was replaced."""

    def __init__(self, home: Home, station: str) -> None:
        self._refs, self._station = Refs(home), station
        self._known: tuple[tuple[int, int] | None, str | None] = None, None

    def digest(self) -> str | None:
        """Digest of the station's artifact; None where it stands for nothing."""
        seen = self._refs.replaced(self._station)
        if seen is None:
            return None
        if self._known[0] != seen:
            self._known = seen, self._refs.digest(self._station)
        return self._known[1]
