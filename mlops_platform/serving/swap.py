"""The version behind an alias, swapped when the alias moves: the new one is loaded beside the old, which is drained."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from mlops_platform.errors import PlatformError, StoreError
from mlops_platform.manifest import digest_of
from mlops_platform.resources.aliases import Pointed, ReadRegistry, pointed, registered_name
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.home import Home
from mlops_platform.serving.loading import LoadedVersion, load_version
from mlops_platform.serving.refusals import Refusal, Refusals
from mlops_platform.serving.states import StatesOfCheckpoints, read_states
from mlops_platform.spec import Model, Project


class NotReadyError(PlatformError):
    """Nothing can be answered now; the error says why."""


class Held:
    """A loaded version and the answers under way with it; it is let go when the last of them is out."""

    def __init__(self, loaded: LoadedVersion, drained: Callable[["Held"], None]) -> None:
        self.loaded = loaded
        self._drained, self._lock = drained, threading.Lock()
        self._answering, self._retired = 0, False

    def take(self) -> bool:
        """Begins an answer; False where the version was retired meanwhile."""
        with self._lock:
            if not self._retired:
                self._answering += 1
            return not self._retired

    def release(self) -> None:
        """Ends an answer."""
        with self._lock:
            self._answering -= 1
            last = self._retired and self._answering == 0
        if last:
            self._drained(self)

    def retire(self) -> None:
        """No further answer begins."""
        with self._lock:
            self._retired = True
            last = self._answering == 0
        if last:
            self._drained(self)


class Swap:
    """What an alias points to, verified and warm.

    Attributes:
        refused: The version that the alias points to now, where it was refused.
        trouble: Why the registry told nothing at the last look; None where it answered.
        swaps: How often a version took the place of another.
        awaited: Of sequences: why there are no states of the version that the alias points to, or no newer ones.
    """

    def __init__(self, home: Home, project: Project, model: Model, alias: str) -> None:
        self._home, self._project, self._model, self.alias = home, project, model, alias
        self._registry = ReadRegistry.from_environment(home, project.name)
        self._refusals = Refusals(home.refusals(project.name, model.name))
        self._held: Held | None = None
        self._draining: set[Held] = set()
        self._polling, self._lock = threading.Lock(), threading.Lock()
        self._tried: str | None = None
        self.refused: Refusal | None = None
        self.trouble: str | None = None
        self.swaps = 0
        sequence = model.network.sequence
        self._states = StatesOfCheckpoints(home, project, model) if sequence is not None else None
        self.awaited: PlatformError | None = None

    @property
    def loaded(self) -> LoadedVersion | None:
        """The version that answers now."""
        held = self._held
        return held.loaded if held is not None else None

    @property
    def draining(self) -> list[str]:
        """Versions that left and still have answers under way."""
        with self._lock:
            return sorted(held.loaded.version for held in self._draining)

    @contextlib.contextmanager
    def answering(self) -> Iterator[LoadedVersion]:
        """The version that answers now, kept until the block ends.

        Raises:
            NotReadyError: There is none.
        """
        while True:
            held = self._held
            if held is None:
                raise self.not_ready()
            if held.take():
                break
        try:
            yield held.loaded
        finally:
            held.release()

    def not_ready(self) -> NotReadyError:
        """Why nothing answers."""
        name = f"{self._project.name}.{self._model.name}"
        told = self.refused or self.awaited
        if told is not None:
            return NotReadyError(required=told.required, found=told.found, remedy=told.remedy)
        return NotReadyError(
            required=f"a version of {name} with the alias {self.alias}",
            found=self.trouble or "none yet", remedy=f"see: mlops history {self._model.name}",
        )  # fmt: skip

    def refresh(self) -> None:
        """One look at the alias: what it points to is loaded, verified and warmed, and takes the old one's place."""
        with self._polling:
            try:
                found = pointed(self._registry, registered_name(self._project.name, self._model.name), self.alias)
                self._follow(found)
            except (StoreError, OSError) as error:
                self.trouble = str(error)

    def close(self) -> None:
        """Lets the version go when its last answer is out; nothing is answered any more."""
        with self._polling:
            self._replace(None)

    def _follow(self, found: Pointed | None) -> None:
        if found is None:
            live = self.loaded
            self.refused = self._tried = self.awaited = None
            self.trouble = f"the alias {self.alias} points nowhere; version {live.version} answers on" if live else None
            return
        self.trouble = None
        live = self.loaded
        if live is not None and (live.version, live.checkpoint) == (found.version, found.checkpoint):
            self.refused = self._tried = None
            self._renew(live)
            return
        predictions = None
        if self._states is not None and found.checkpoint is not None:
            try:
                predictions, self.awaited = self._states.find(found.checkpoint), None
            except PlatformError as error:
                # Nothing is wrong with the version: its states come when the predictions station has answered by it.
                self.refused, self._tried, self.awaited = None, None, error
                return
        looked = self._fingerprint(found, predictions)
        if looked == self._tried:
            if self.refused is not None:
                # Where the disk took no record of it before.
                self._refusals.record(self.refused)
            return
        try:
            self._replace(load_version(self._home, self._project, self._model, found, predictions))
            self.refused = self._tried = None
        except StoreError:
            raise
        except PlatformError as error:
            # What follows asks again only when the alias or the bytes are others.
            self._tried = looked
            now = datetime.now(UTC).isoformat()
            told = Refusal.of(error, found, alias=self.alias, at=now, live=live.version if live else None)
            self.refused = told
            self._refusals.record(told)

    def _renew(self, live: LoadedVersion) -> None:
        """The version goes on from newer states, where the predictions station made some by it."""
        carried = live.scorer.encoding.carried
        if self._states is None or carried is None:
            return
        try:
            made = self._states.find(live.checkpoint, live.states)
            if made is not None:
                self._replace(replace(live, states=read_states(made, carried)), swapped=False)
            self.awaited = None
        except PlatformError as error:
            # Those in place are as good as they were.
            self.awaited = error

    def _replace(self, loaded: LoadedVersion | None, *, swapped: bool = True) -> None:
        old = self._held
        self._held = Held(loaded, self._gone) if loaded is not None else None
        if old is not None:
            self.swaps += loaded is not None and swapped
            with self._lock:
                self._draining.add(old)
            old.retire()

    def _gone(self, held: Held) -> None:
        with self._lock:
            self._draining.discard(held)

    def _fingerprint(self, found: Pointed, predictions: Artifact | None) -> str:
        """Of the version, its states and the files by which it is judged, told by their sizes and times."""
        name = (found.checkpoint or "").removeprefix("sha256:")
        folders = [self._home.artifacts / "checkpoint" / name, self._home.mlflow / "models" / name] if name else []
        files = [_file(path) for folder in folders for path in sorted(folder.rglob("*"))]
        states = predictions.manifest.digest if predictions is not None else None
        return digest_of([found.version, found.checkpoint, states, files])


def _file(path: Path) -> list[object]:
    about = path.stat()
    return [str(path), about.st_size, about.st_mtime_ns, about.st_ino]
