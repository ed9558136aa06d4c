"""Garbage collection: what nothing reaches is removed; what a champion, the history or the retention reaches never is.

Why it is safe beside a run: every run holds the home's lock ``gc`` shared from before it looks for its first artifact
until it has written its last reference, and a collection holds it alone. So between its look and its last removal
nothing is being made, taken or referenced. A run that comes meanwhile waits; a run that is at work makes the collection
wait, and give up. A minimum age alone would not do: an old artifact may be taken again at any moment.

Why it may be killed at any point: recipes go before the artifacts that they gave, so that no memo takes what is half
gone; an artifact goes by one rename, and after every artifact that names it, so that what is left is whole with all
that it was made from; data files go after the manifests that name their versions. What was renamed and not yet deleted
lies in ``.trash``, and the next collection deletes it.
"""

import contextlib
import json
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from mlops_platform.resources.artifacts import MANIFEST, alive
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.locks import RUNS, WRITER, at_rest, is_held
from mlops_platform.resources.mlflow import MlflowDoor
from mlops_platform.resources.reachability import Stored, dependents_first, mentioned, reachable, roots, stored

RECIPE, CODE, PACKAGE, LEFTOVER, TABLE = "recipe", "code record", "model package", "leftover", "table data"
SAVES = "saves"
_TABLES = ("raw", "features")
_NOT_KINDS = ("recipes", "code")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing to remove.

    Attributes:
        kind: Of the artifact, or ``recipe``, ``code record``, ``model package``, ``leftover``, ``table data``,
            ``saves`` of a training.
        path: File or folder; the table, of table data.
        size: Bytes.
        files: Data files, of table data.
        versions: Versions of the table that stay readable, of table data.
    """

    kind: str
    path: Path
    size: int
    files: tuple[Path, ...] = ()
    versions: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """What nothing reaches.

    Attributes:
        items: In the order of their removal.
        kept: How many artifacts stay, by kind.
    """

    items: tuple[Item, ...]
    kept: Mapping[str, int]

    def by_kind(self) -> dict[str, tuple[int, int]]:
        """How many things and how many bytes, by kind."""
        told: dict[str, tuple[int, int]] = {}
        for item in self.items:
            count, size = told.get(item.kind, (0, 0))
            told[item.kind] = (count + (len(item.files) or 1), size + item.size)
        return told


def find_garbage(home: Home, door: MlflowDoor, *, young: timedelta) -> Garbage:
    """What would be removed; nothing is written.

    Args:
        home: Where.
        door: MLflow, any project's.
        young: Age under which an artifact, and the saves of a training, are kept in any case.
    """
    artifacts = stored(home)
    start = roots(home, door, artifacts, young=young)
    kept = reachable(artifacts, start)
    gone = dependents_first(artifacts, frozenset(artifacts) - kept)
    recipes = list(_recipes(home, start, frozenset(artifacts) & kept))
    items = [
        *(Item(kind=RECIPE, path=path, size=_size(path)) for path in recipes),
        *(_item(artifacts[digest].manifest.kind, artifacts[digest].folder) for digest in gone),
        *(_item(PACKAGE, path) for path in _packages(home, start | kept)),
        *(_item(LEFTOVER, path) for path in _leftovers(home, start)),
        *(_item(SAVES, path) for path in _saves(home, young)),
        *(_item(CODE, path) for path in _code(home, [artifacts[digest] for digest in kept], set(recipes))),
        *_table_data(home, [artifacts[digest] for digest in kept]),
    ]
    kinds = sorted(artifacts[digest].manifest.kind for digest in kept)
    return Garbage(items=tuple(items), kept={kind: kinds.count(kind) for kind in dict.fromkeys(kinds)})


def collect(home: Home, door: MlflowDoor, *, young: timedelta, wait: float) -> Garbage:
    """Removes what nothing reaches.

    Args:
        home: Where.
        door: MLflow, any project's.
        young: Age under which an artifact, and the saves of a training, are kept in any case.
        wait: Seconds to wait for runs to end.

    Returns:
        What was removed.

    Raises:
        PlatformError: A run is at work until the wait is over.
    """
    with at_rest(home, RUNS, wait):
        # Looked for anew: whatever was shown to a person before may be wanted by now.
        found = find_garbage(home, door, young=young)
        for item in found.items:
            if item.kind == TABLE:
                _vacuum(item)
            elif item.path.is_dir():
                _bin(home, item.path)
            else:
                item.path.unlink(missing_ok=True)
    # Nothing can find it any more, so nobody has to wait for the slow part.
    for trash in _trashes(home):
        shutil.rmtree(trash, ignore_errors=True)
    return found


def _recipes(home: Home, start: frozenset[str], kept: frozenset[str]) -> Iterator[Path]:
    """Entries whose artifact goes or is gone; one that a station's story names stays, to tell what changed since."""
    for path in sorted((home.artifacts / "recipes").glob("[!.]*.json")):
        if json.loads(path.read_bytes())["digest"] not in kept and f"sha256:{path.stem}" not in start:
            yield path


def _packages(home: Home, kept: frozenset[str]) -> Iterator[Path]:
    for path in sorted((home.mlflow / "models").glob("[!.]*")):
        if f"sha256:{path.name}" not in kept:
            yield path


def _leftovers(home: Home, start: frozenset[str]) -> Iterator[Path]:
    """What processes that died left: drafts, staging folders, folders without a manifest, halves of files, trash."""
    yield from sorted((home.mlflow / "models").glob(".draft-*"))
    yield from (path for path in sorted((home.artifacts / ".staging").glob("*")) if _abandoned(path.name, 0))
    for kind in _NOT_KINDS:
        yield from (path for path in sorted((home.artifacts / kind).glob(".*.json.*")) if _abandoned(path.name, -2))
    for folder in sorted(home.artifacts.glob("[!.]*/[!.]*")):
        broken = folder.is_dir() and not (folder / MANIFEST).is_file()
        if broken and f"sha256:{folder.name}" not in start:
            yield folder
    yield from (path for trash in _trashes(home) for path in sorted(trash.glob("*")))


def _saves(home: Home, young: timedelta) -> Iterator[Path]:
    """Saves of trainings that did not end well, and that nobody went on with for so long, nor does now."""
    since = time.time() - young.total_seconds()
    for folder in sorted(home.trainings.glob("[!.]*")):
        # Each attempt rewrites its note every second, also where its lock is not seen from here.
        if not is_held(folder / WRITER) and _touched(folder) < since:
            yield folder


def _touched(folder: Path) -> float:
    """When anything in a folder was last written, in seconds since 1970."""
    newest = 0.0
    for path in (folder, *folder.rglob("*")):
        # A look without the lock may see files that a training is about to replace.
        with contextlib.suppress(FileNotFoundError):
            newest = max(newest, path.stat().st_mtime)
    return newest


def _abandoned(name: str, place: int) -> bool:
    """Whether the process whose id the name has at a place is dead."""
    pid = name.replace("-", ".").split(".")[place]
    return not pid.isdigit() or not alive(int(pid))


def _code(home: Home, kept: list[Stored], going: set[Path]) -> Iterator[Path]:
    """Records that no artifact and no recipe that stays was made by."""
    used = {each.manifest.recipe.code for each in kept}
    for path in sorted((home.artifacts / "recipes").glob("[!.]*.json")):
        if path not in going:
            used |= mentioned(path.read_bytes())
    for path in sorted((home.artifacts / "code").glob("[!.]*.json")):
        if f"sha256:{path.stem}" not in used:
            yield path


def _table_data(home: Home, kept: list[Stored]) -> Iterator[Item]:
    """Data files that neither the newest version of a table nor one that an artifact cites needs."""
    cited: dict[str, set[int]] = {}
    for each in kept:
        if each.manifest.table is not None:
            cited.setdefault(each.manifest.table.path, set()).add(each.manifest.table.version)
    for name in _TABLES:
        for folder in sorted((home.root / "tables").glob(f"*/{name}/*")):
            door = DeltaDoor(folder)
            if not door.exists:
                continue
            versions = tuple(sorted(cited.get(home.relative(folder), set()) | {door.version}))
            files = tuple(path for path in door.unneeded(versions) if path.is_file())
            if files:
                size = sum(path.stat().st_size for path in files)
                yield Item(kind=TABLE, path=folder, size=size, files=files, versions=versions)


def _vacuum(item: Item) -> None:
    DeltaDoor(item.path).vacuum(item.versions)


def _bin(home: Home, path: Path) -> None:
    """Takes a folder out of sight, whole, by one rename on its own file system."""
    trash = next(trash for trash in _trashes(home) if path.is_relative_to(trash.parent))
    if path.parent != trash:
        trash.mkdir(parents=True, exist_ok=True)
        path.rename(trash / uuid.uuid4().hex)


def _trashes(home: Home) -> tuple[Path, ...]:
    return home.artifacts / ".trash", home.mlflow / ".trash", home.trainings / ".trash"


def _item(kind: str, path: Path) -> Item:
    return Item(kind=kind, path=path, size=_size(path))


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; nothing of what is gone by now."""
    if path.is_file():
        return path.stat().st_size
    return sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())
