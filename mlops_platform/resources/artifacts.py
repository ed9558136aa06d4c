"""The artifact store: whole, content-addressed folders, or nothing.

A maker fills a staging folder; the commit writes the manifest last, syncs, and renames the folder to its digest.
Rename of a folder onto a filled one fails, so it is a put-if-absent: whoever comes second finds the first one's.
"""

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mlops_platform.errors import CorruptArtifactError, MissingArtifactError
from mlops_platform.manifest import Manifest, Recipe, canonical_json, digest_file, digest_of
from mlops_platform.resources.home import Home

MANIFEST = "manifest.json"


def sync(path: Path) -> None:
    """Forces a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, data: bytes, *, replace: bool = False) -> bool:
    """Writes a file that is seen whole or not at all.

    Args:
        path: Where; its folder is made.
        data: What.
        replace: Whether an existing file is replaced; otherwise it is kept (put-if-absent).

    Returns:
        Whether the file is now ours.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}.{uuid.uuid4().hex}"
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)
    return True


@dataclass(frozen=True)
class Artifact:
    """A whole artifact on disk."""

    folder: Path
    manifest: Manifest

    def file(self, name: str) -> Path:
        """Path of one of its files, whose bytes have been compared with the manifest.

        Raises:
            MissingArtifactError: The manifest names no such file.
            CorruptArtifactError: The bytes are gone or others.
        """
        expected = self.manifest.files.get(name)
        path = self.folder / name
        if expected is None:
            raise MissingArtifactError(
                required=f"file {name} in the {self.manifest.kind} {self.folder.name[:12]}",
                found=", ".join(self.manifest.files) or "no files",
                remedy="name one of the files found",
            )
        found = digest_file(path) if path.is_file() else "no such file"
        if found != expected:
            raise CorruptArtifactError(
                required=f"{path} of digest {expected}",
                found=found,
                remedy=f"remove the folder {self.folder}; the next run makes it again",
            )
        return path


class ArtifactStore:
    """Artifacts under ``<home>/<environment>/artifacts``, found by digest or by recipe."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.root = home.artifacts

    def stage(self) -> Path:
        """A fresh staging folder; those of dead processes are swept away."""
        staging = self.root / ".staging"
        staging.mkdir(parents=True, exist_ok=True)
        for folder in staging.iterdir():
            if not alive(int(folder.name.split("-")[0])):
                shutil.rmtree(folder, ignore_errors=True)
        folder = staging / f"{os.getpid()}-{uuid.uuid4().hex}"
        folder.mkdir()
        return folder

    def commit(self, staging: Path, manifest: Manifest) -> Manifest:
        """Makes the staged folder an artifact, or finds that it already is one.

        Args:
            staging: From ``stage``, holding exactly the files that the manifest names.
            manifest: Its description.

        Returns:
            The manifest in the store: the given one, or the earlier one of equal digest.
        """
        target = self._folder(manifest.kind, manifest.digest)
        for name in manifest.files:
            sync(staging / name)
        (staging / MANIFEST).write_bytes(manifest.to_json())
        sync(staging / MANIFEST)
        sync(staging)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            staging.rename(target)
        except OSError:
            if not (target / MANIFEST).is_file():
                raise
            self._keep_or_mend(staging, target, manifest)
        else:
            sync(target.parent)
        self._remember(manifest)
        return self.open(manifest.kind, manifest.digest).manifest

    def _keep_or_mend(self, staging: Path, target: Path, manifest: Manifest) -> None:
        """Keeps the artifact that is there, or puts the staged one in the place of a damaged one."""
        files = {name: target / name for name in manifest.files}
        if all(path.is_file() and digest_file(path) == manifest.files[name] for name, path in files.items()):
            shutil.rmtree(staging)
            return
        damaged = staging.with_name(f"{staging.name}-damaged")
        target.rename(damaged)
        staging.rename(target)
        shutil.rmtree(damaged)

    def open(self, kind: str, digest: str) -> Artifact:
        """The artifact of that digest.

        Raises:
            MissingArtifactError: There is none.
            CorruptArtifactError: Its manifest is not what its name says.
        """
        folder = self._folder(kind, digest)
        path = folder / MANIFEST
        if not path.is_file():
            raise MissingArtifactError(
                required=f"{kind} {digest}", found=f"nothing at {path}", remedy="materialize the station that makes it"
            )
        manifest = Manifest.from_json(path.read_bytes(), source=str(path))
        if manifest.digest != digest:
            raise CorruptArtifactError(
                required=digest, found=f"{manifest.digest} in {path}", remedy=f"remove the folder {folder}"
            )
        return Artifact(folder, manifest)

    def find(self, recipe_key: str) -> Artifact | None:
        """The artifact that a recipe gave before, if it is still whole; None asks for the work."""
        path = self._recipe(recipe_key)
        if not path.is_file():
            return None
        entry = json.loads(path.read_bytes())
        if not (self._folder(entry["kind"], entry["digest"]) / MANIFEST).is_file():
            return None
        artifact = self.open(entry["kind"], entry["digest"])
        whole = all((artifact.folder / name).is_file() for name in artifact.manifest.files)
        return artifact if whole else None

    def recipe(self, key: str) -> Recipe | None:
        """The recipe of a key, if something was made by it here; what it gave may be gone."""
        path = self._recipe(key)
        if not path.is_file():
            return None
        entry = json.loads(path.read_bytes())
        if "made_from" in entry:
            return Recipe(**{**entry["made_from"], "functions": tuple(entry["made_from"]["functions"])})
        manifest = self._folder(entry["kind"], entry["digest"]) / MANIFEST
        found = Manifest.from_json(manifest.read_bytes(), source=str(manifest)).recipe if manifest.is_file() else None
        return found if found is not None and found.key == key else None

    def keep_code(self, parts: Mapping[str, str]) -> None:
        """Keeps what the code of a recipe consists of, so that a later difference has a name."""
        path = self._code(digest_of(dict(parts)))
        if not path.is_file():
            write_whole(path, canonical_json(dict(parts)))

    def code(self, digest: str) -> dict[str, str] | None:
        """The parts of a recipe's code, by name; None where they were not kept."""
        path = self._code(digest)
        return json.loads(path.read_bytes()) if path.is_file() else None

    def _remember(self, manifest: Manifest) -> None:
        # The artifact may have been there, with the recipe that gave it first in its manifest: so ours is kept here.
        entry = {"kind": manifest.kind, "digest": manifest.digest, "recipe": manifest.recipe.key,
                 "made_from": asdict(manifest.recipe)}  # fmt: skip
        write_whole(self._recipe(manifest.recipe.key), json.dumps(entry).encode(), replace=True)

    def _folder(self, kind: str, digest: str) -> Path:
        return self.root / kind / digest.removeprefix("sha256:")

    def _code(self, digest: str) -> Path:
        return self.root / "code" / f"{digest.removeprefix('sha256:')}.json"

    def _recipe(self, key: str) -> Path:
        return self.root / "recipes" / f"{key.removeprefix('sha256:')}.json"


def alive(pid: int) -> bool:
    """Whether a process of this machine lives; where that cannot be told, it does."""
    return Path(f"/proc/{pid}").exists() if Path("/proc").is_dir() else True
