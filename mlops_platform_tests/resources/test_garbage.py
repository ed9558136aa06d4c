"""Exactly what nothing reaches is removed, whatever is killed on the way."""

import fcntl
import multiprocessing
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_platform.errors import CorruptArtifactError, PlatformError
from mlops_platform.manifest import Manifest, Produced, Recipe, TableRef
from mlops_platform.resources import garbage
from mlops_platform.resources.artifacts import ArtifactStore
from mlops_platform.resources.delta import PARTITION, DeltaDoor
from mlops_platform.resources.garbage import LEFTOVER, PACKAGE, SAVES, TABLE, Garbage, collect, find_garbage
from mlops_platform.resources.home import Home
from mlops_platform.resources.locks import RUNS, at_rest, shared
from mlops_platform.resources.mlflow import MlflowDoor
from mlops_platform.resources.reachability import dependents_first, stored
from mlops_platform.resources.refs import Refs

MONTH = timedelta(days=30)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def put(home: Home, name: str, *inputs: Manifest, at: datetime = LONG_AGO, table: TableRef | None = None) -> Manifest:
    """An artifact of one file, made from others."""
    store = ArtifactStore(home)
    staging = store.stage()
    (staging / "bytes").write_text(name)
    recipe = Recipe(station=f"p/m/{name}", functions=(), code="sha256:" + "c" * 64, config={}, software={},
                    inputs={str(n): each.digest for n, each in enumerate(inputs)})  # fmt: skip
    produced = Produced(at=at.isoformat(), seconds=0.0, run_id="r", correlation_id="r", actor="tests")
    manifest = Manifest(kind="thing", station=f"p/m/{name}", environment="dev", files={"bytes": f"sha256:{name}"},
                        table=table, content={"name": name}, recipe=recipe, produced=produced)  # fmt: skip
    store.keep_code({"m:f": name})
    return store.commit(staging, manifest)


def stand(home: Home, *manifests: Manifest) -> None:
    """Stations that stand for artifacts."""
    for manifest in manifests:
        Refs(home).write(manifest)


def there(home: Home) -> set[str]:
    return {each.manifest.content["name"] for each in stored(home).values()}


def swept(home: Home, young: timedelta = MONTH) -> Garbage:
    return collect(home, MlflowDoor(home, "p"), young=young, wait=0)


graphs = st.integers(1, 8).flatmap(
    lambda n: st.tuples(
        st.tuples(*(st.sets(st.integers(0, place - 1), max_size=3) if place else st.just(set()) for place in range(n))),
        st.sets(st.integers(0, n - 1), max_size=3),
        st.sets(st.integers(0, n - 1), max_size=1),
    )
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=graphs)
def test_exactly_the_unreachable_is_removed(tmp_path_factory: pytest.TempPathFactory, drawn: tuple) -> None:
    edges, refs, young = drawn
    home = Home(tmp_path_factory.mktemp("g"))
    made: list[Manifest] = []
    for place, inputs in enumerate(edges):
        at = datetime.now(UTC) if place in young else LONG_AGO
        made.append(put(home, str(place), *(made[i] for i in inputs), at=at))
    stand(home, *(made[place] for place in refs))
    wanted, waiting = set[int](), [*refs, *young]
    while waiting:
        place = waiting.pop()
        wanted.add(place)
        waiting += edges[place]
    told = find_garbage(home, MlflowDoor(home, "p"), young=MONTH)
    found = swept(home)
    assert found == told and there(home) == {str(place) for place in wanted}
    assert len(list((home.artifacts / "recipes").iterdir())) == len(wanted)
    gone = [int(item.path.name == m.digest[7:]) * (n + 1) for item in found.items for n, m in enumerate(made)]
    order = [n - 1 for n in gone if n]
    # Whoever names another goes before it.
    assert all(order.index(user) < order.index(used) for user in order for used in edges[user] if used in order)
    assert swept(home).items == () and there(home) == {str(place) for place in wanted}
    assert not (home.artifacts / ".trash").exists()


def test_a_circle_of_names_has_some_order(home: Home) -> None:
    one = put(home, "one")
    two = put(home, "two", one)
    found = stored(home)
    object.__setattr__(found[one.digest], "names", frozenset({two.digest}))
    assert set(dependents_first(found, frozenset(found))) == {one.digest, two.digest}


def test_the_history_and_its_verdicts_are_reached(home: Home) -> None:
    champion, challenger, other = (put(home, name) for name in ("champion", "challenger", "other"))
    entry = home.history / "p" / "m" / "000001.json"
    entry.parent.mkdir(parents=True)
    entry.write_text(f'{{"checkpoint":"{champion.digest}","verdict":"{challenger.digest}"}}')
    swept(home)
    assert there(home) == {"champion", "challenger"} and other.digest not in stored(home)


def test_what_answered_and_its_batch_are_reached_and_the_log_stays(home: Home) -> None:
    checkpoint, unused = put(home, "checkpoint"), put(home, "unused")
    log = DeltaDoor(home.prediction_log("p", "m"))
    frame = pl.DataFrame(
        {"checkpoint": [checkpoint.digest], "batch": ["sha256:" + "b" * 64], PARTITION: ["2024-01-01"]}
    )
    for _ in range(2):
        log.replace(frame, ["2024-01-01"], metadata={}, digests={})
    before = sorted(log.path.rglob("*.parquet"))
    swept(home, timedelta(0))
    assert there(home) == {"checkpoint"} and unused.digest not in stored(home)
    assert sorted(log.path.rglob("*.parquet")) == before and log.scan(0).collect().height == 1


def test_versions_that_are_cited_stay_readable(home: Home) -> None:
    door = DeltaDoor(home.feature_table("p", "t"))
    quarantine = DeltaDoor(home.quarantine_table("p", "t"))
    versions = []
    for number in range(4):
        rows = pl.DataFrame({"value": [number], PARTITION: ["2024-01"]})
        quarantine.replace(rows, ["2024-01"], metadata={}, digests={})
        versions.append(
            door.replace(rows, ["2024-01"], metadata={"n": number}, digests={"2024-01": f"sha256:{number}"})
        )
    kept = put(
        home, "kept", table=TableRef(path=home.relative(door.path), version=1, partitions={"2024-01": "sha256:1"})
    )
    put(home, "gone", table=TableRef(path=home.relative(door.path), version=2, partitions={"2024-01": "sha256:2"}))
    stand(home, kept)
    (item,) = [item for item in swept(home).items if item.kind == TABLE]
    assert item.versions == (1, 3) and len(item.files) == 2 and item.size > 0
    assert [door.scan(v).collect()["value"].to_list() for v in (1, 3)] == [[1], [3]]
    for version in (0, 2):
        with pytest.raises((FileNotFoundError, pl.exceptions.PolarsError, OSError)):
            door.scan(version).collect()
    # Nothing is written where nothing is left to remove, and the table goes on as before.
    assert swept(home).items == () and door.digests() == {"2024-01": "sha256:3"} and door.metadata("n") == [0, 1, 2, 3]
    after = door.replace(pl.DataFrame({"value": [9], PARTITION: ["2024-01"]}), ["2024-01"], metadata={}, digests={})
    assert door.scan(after).collect()["value"].to_list() == [9] and door.scan(1).collect()["value"].to_list() == [1]
    assert [quarantine.scan(v).collect()["value"].to_list() for v in versions] == [[0], [1], [2], [3]]


def test_leftovers_of_dead_processes_go_and_those_of_living_ones_stay(home: Home) -> None:
    stand(home, put(home, "kept"))
    dead = multiprocessing.get_context("spawn").Process(target=int)
    dead.start()
    dead.join()
    recipes, models = home.artifacts / "recipes", home.mlflow / "models"
    gone = [home.artifacts / ".staging" / f"{dead.pid}-x", models / ".draft-x", home.artifacts / "thing" / ("0" * 64)]
    for folder in gone:
        folder.mkdir(parents=True)
    gone += [recipes / f".a.json.{dead.pid}.x", models / ("1" * 64)]
    gone[-2].touch()
    gone[-1].mkdir()
    stays = [home.artifacts / ".staging" / f"{os.getpid()}-x", recipes / f".a.json.{os.getpid()}.x"]
    stays[0].mkdir()
    stays[1].touch()
    kinds = swept(home).by_kind()
    assert kinds[LEFTOVER][0] == 4 and kinds[PACKAGE][0] == 1
    assert not any(path.exists() for path in gone) and all(path.exists() for path in stays)


def test_saves_that_nobody_went_on_with_go_and_those_of_a_training_stay(home: Home) -> None:
    old, late, held, noted = (home.saves(f"sha256:{name}") for name in ("old", "late", "held", "noted"))
    for folder in (old, late, held, noted):
        (folder / "attempts").mkdir(parents=True)
        for name in ("lock", "attempts/0001.json"):
            (folder / name).write_text(name)
        for path in (folder / "lock", folder / "attempts" / "0001.json", folder / "attempts", folder):
            os.utime(path, (0, 0) if folder != late else None)
    os.utime(noted / "attempts" / "0001.json")
    with (held / "lock").open("wb") as lock:
        os.utime(held / "lock", (0, 0))
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = swept(home)
        assert [(item.kind, item.path) for item in found.items] == [(SAVES, old)] and found.items[0].size == 22
        assert sorted(home.trainings.iterdir()) == sorted([late, held, noted])
        swept(home, timedelta(0))
        assert list(home.trainings.iterdir()) == [held]
    swept(home)
    assert list(home.trainings.iterdir()) == []


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("steps", [0, 1, 3, 4, 5, 6, 8, 10, 11])
def test_a_collection_killed_at_any_step_leaves_all_that_is_left_whole(
    home: Home, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = put(home, "source")
    middle = put(home, "middle", source)
    last = put(home, "last", middle)
    kept = put(home, "kept")
    stand(home, kept)
    left = [steps]

    def die(real: Any) -> Any:
        def step(*given: Any, **named: Any) -> Any:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return real(*given, **named)

        return step

    with monkeypatch.context() as patched:
        patched.setattr(garbage, "_bin", die(garbage._bin))
        patched.setattr(shutil, "rmtree", die(shutil.rmtree))
        patched.setattr(Path, "unlink", die(Path.unlink))
        with pytest.raises(Killed):
            swept(home)
    store = ArtifactStore(home)
    for name, inputs in (("last", {"middle"}), ("middle", {"source"})):
        assert name not in there(home) or inputs <= there(home)
    # What a memo would still take is whole with all behind it; what is gone is made again.
    for manifest in (source, middle, last):
        found = store.find(manifest.recipe.key)
        assert found is None or all(digest in stored(home) for digest in found.manifest.recipe.inputs.values())
    assert put(home, "last", put(home, "middle", put(home, "source"))) == last
    swept(home)
    assert there(home) == {"kept"} and not (home.artifacts / ".trash").exists()


def test_a_run_at_work_holds_a_collection_back_and_the_other_way_round(home: Home) -> None:
    stand(home, put(home, "kept"))
    put(home, "garbage")
    with shared(home, RUNS), shared(home, RUNS), pytest.raises(PlatformError, match="no run to be at work"):
        swept(home)
    assert there(home) == {"kept", "garbage"}
    with at_rest(home, RUNS, 0), pytest.raises(PlatformError), at_rest(home, RUNS, 0.1):
        pass
    swept(home)
    assert there(home) == {"kept"}


def test_a_cited_version_that_a_table_lost_stops_all_and_is_named(home: Home) -> None:
    door = DeltaDoor(home.feature_table("p", "t"))
    for number in range(2):
        door.replace(pl.DataFrame({"value": [number], PARTITION: ["all"]}), ["all"], metadata={}, digests={})
    stand(home, put(home, "kept", table=TableRef(path=home.relative(door.path), version=7, partitions={})))
    put(home, "garbage")
    with pytest.raises(PlatformError, match="no version 7; the newest is 1") as caught:
        swept(home)
    assert str(door.path) in caught.value.required and "backup" in caught.value.remedy
    assert there(home) == {"kept", "garbage"} and door.scan(0).collect()["value"].to_list() == [0]


def test_a_manifest_that_cannot_be_read_stops_all(home: Home) -> None:
    broken, other = put(home, "broken"), put(home, "other")
    path = home.artifacts / "thing" / broken.digest[7:] / "manifest.json"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CorruptArtifactError):
        swept(home)
    assert (home.artifacts / "thing" / other.digest[7:]).is_dir()
