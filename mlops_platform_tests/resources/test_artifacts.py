"""An artifact is whole or not there; what is there has the digest it says."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_platform.errors import CorruptArtifactError, MissingArtifactError
from mlops_platform.manifest import Manifest, Produced, Recipe, canonical_json, digest_file
from mlops_platform.resources.artifacts import ArtifactStore, write_whole
from mlops_platform.resources.home import Home


def _manifest(folder: Path, *, seed: int = 0, seconds: float = 1.0) -> Manifest:
    files = {path.name: digest_file(path) for path in sorted(folder.iterdir())}
    recipe = Recipe(station="p/t/raw", functions=(), code="sha256:c", config={"seed": seed}, software={}, inputs={})
    produced = Produced(at="2026-01-01T00:00:00+00:00", seconds=seconds, run_id="r", correlation_id="r", actor="tests")
    return Manifest(
        kind="raw",
        station="p/t/raw",
        environment="dev",
        files=files,
        table=None,
        content={},
        recipe=recipe,
        produced=produced,
    )


def _commit(store: ArtifactStore, text: str = "rows", **how) -> Manifest:
    folder = store.stage()
    (folder / "rows.txt").write_text(text)
    return store.commit(folder, _manifest(folder, **how))


def test_two_makings_of_equal_bytes_are_one_artifact(home: Home) -> None:
    store = ArtifactStore(home)
    first, second = _commit(store, seconds=1.0), _commit(store, seconds=9.0, seed=1)
    assert first.digest == second.digest
    assert len(list((store.root / "raw").iterdir())) == 1
    assert store.find(_manifest_key(0)) is not None and store.find(_manifest_key(1)) is not None


def _manifest_key(seed: int) -> str:
    return Recipe(station="p/t/raw", functions=(), code="sha256:c", config={"seed": seed}, software={}, inputs={}).key


@pytest.mark.parametrize("damage", ["change", "truncate", "remove"])
def test_damaged_bytes_are_refused_by_name(home: Home, damage: str) -> None:
    store = ArtifactStore(home)
    artifact = store.open("raw", _commit(store).digest)
    path = artifact.folder / "rows.txt"
    {"change": lambda: path.write_text("other"), "truncate": lambda: path.write_text("ro"), "remove": path.unlink}[
        damage
    ]()
    with pytest.raises(CorruptArtifactError, match="the next run makes it again"):
        artifact.file("rows.txt")


def test_an_edited_manifest_is_refused(home: Home) -> None:
    store = ArtifactStore(home)
    artifact = store.open("raw", _commit(store).digest)
    path = artifact.folder / "manifest.json"
    edited = {**json.loads(path.read_bytes()), "content": {"rows": 7}}
    path.write_bytes(canonical_json(edited))
    with pytest.raises(CorruptArtifactError, match="remove"):
        store.open("raw", artifact.manifest.digest)


def test_a_manifest_of_this_version_that_names_no_functions_is_read(home: Home) -> None:
    """The first ones did not; what they describe may be the champion."""
    store = ArtifactStore(home)
    artifact = store.open("raw", _commit(store).digest)
    path = artifact.folder / "manifest.json"
    raw = json.loads(path.read_bytes())
    del raw["recipe"]["functions"]
    path.write_bytes(canonical_json(raw))
    found = store.open("raw", artifact.manifest.digest)
    assert found.manifest.recipe.functions == () and found.file("rows.txt").read_text() == "rows"


def test_a_truncated_manifest_is_refused(home: Home) -> None:
    store = ArtifactStore(home)
    artifact = store.open("raw", _commit(store).digest)
    path = artifact.folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CorruptArtifactError):
        store.open("raw", artifact.manifest.digest)


def test_what_is_not_there_says_so(home: Home) -> None:
    store = ArtifactStore(home)
    with pytest.raises(MissingArtifactError, match="materialize"):
        store.open("raw", "sha256:" + "0" * 64)
    with pytest.raises(MissingArtifactError, match=r"rows\.txt"):
        store.open("raw", _commit(store).digest).file("columns.txt")


def test_an_artifact_that_lost_a_file_is_not_found_by_its_recipe(home: Home) -> None:
    store = ArtifactStore(home)
    artifact = store.open("raw", _commit(store).digest)
    assert store.find(artifact.manifest.recipe.key) is not None
    (artifact.folder / "rows.txt").unlink()
    assert store.find(artifact.manifest.recipe.key) is None


def test_making_a_damaged_artifact_again_mends_it(home: Home) -> None:
    store = ArtifactStore(home)
    artifact = store.open("raw", _commit(store).digest)
    (artifact.folder / "rows.txt").write_text("spoiled")
    _commit(store)
    assert store.open("raw", artifact.manifest.digest).file("rows.txt").read_text() == "rows"


def _race(home: Home, started: float, number: int) -> None:
    store = ArtifactStore(home)
    folder = store.stage()
    (folder / "rows.txt").write_text("the same")
    manifest = _manifest(folder, seconds=number)
    time.sleep(max(0.0, started - time.time()))
    store.commit(folder, manifest)


def test_processes_that_commit_at_once_agree(home: Home) -> None:
    spawn = multiprocessing.get_context("fork")
    workers = [spawn.Process(target=_race, args=(home, time.time() + 0.3, n)) for n in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 6
    store = ArtifactStore(home)
    (folder,) = (store.root / "raw").iterdir()
    assert store.open("raw", f"sha256:{folder.name}").file("rows.txt").read_text() == "the same"


_KILLED = """
import sys, os
from pathlib import Path
from mlops_platform.resources.artifacts import ArtifactStore
from mlops_platform.resources.home import Home
folder = ArtifactStore(Home(Path(sys.argv[1]))).stage()
(folder / "rows.txt").write_text("half")
print(folder, flush=True)
import time; time.sleep(60)
"""


def test_a_killed_maker_leaves_nothing_and_its_staging_is_swept(home: Home) -> None:
    process = subprocess.Popen([sys.executable, "-c", _KILLED, str(home.path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert folder.is_dir()
    store = ArtifactStore(home)
    store.stage()
    assert not folder.exists() and not (store.root / "raw").exists()


def test_put_if_absent_keeps_the_first(tmp_path: Path) -> None:
    assert write_whole(tmp_path / "entry", b"one") and not write_whole(tmp_path / "entry", b"two")
    assert (tmp_path / "entry").read_bytes() == b"one"
    assert write_whole(tmp_path / "entry", b"two", replace=True)
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]
