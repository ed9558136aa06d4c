"""One thing changes, and exactly the stations run that must: a property over random orders of such changes."""

import importlib
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest

from mlops_platform.cli.execution import Graph
from mlops_platform.cli.planning import MAY_RUN, RUNS, Step, plan
from mlops_platform.resources import source_code
from mlops_platform.resources.feast import FeastDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.station import Progress
from mlops_platform.spec import Project
from mlops_platform_tests.lineage.run import failures, land, materialize

pytestmark = pytest.mark.long

PACKAGE = "pumps_live"
_FROM = Path(__file__).parent / "pumps"
_HELPERS = {
    "near.py": f"from {PACKAGE}.far import degrees\n\n\ndef number(name):\n    return degrees(name)\n",
    "far.py": "import polars as pl\n\n\ndef degrees(name):\n    return pl.col(name).cast(pl.Float32)\n\n\n"
    "def stranger():\n    return 0\n",
}
_EVERYTHING_AFTER_THE_DATASET = {
    "pump_repair/checkpoint", "pump_repair/evaluation", "pump_repair/gate", "pump_repair/skew",
    "pump_repair/registered_model", "pump_repair/champion",
}  # fmt: skip


@dataclass
class World:
    """A project whose source can be edited, and its home."""

    package: Path
    home: Home
    heard: list[Progress]
    monkeypatch: pytest.MonkeyPatch
    changes: int = 0
    versions: dict[str, str] = field(default_factory=dict)

    def project(self) -> Project:
        """The declaration as its source is now."""
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]
        importlib.invalidate_caches()
        found: Project = importlib.import_module(f"{PACKAGE}.project").PROJECT
        return found

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.package / file
        text = path.read_text()
        assert old in text, (file, old)
        path.write_text(text.replace(old, new, 1))

    def planned(self) -> list[Step]:
        graph = Graph.load(self.project())
        return plan(graph, self.home, graph.select("*"))

    def run(self) -> set[str]:
        """Stations that really worked."""
        self.heard.clear()
        result = materialize(self.home, self.project())
        assert result.success, failures(result)
        return {_short(p.station) for p in self.heard if p.seconds is not None and not p.hit and p.skipped is None}


def _short(station: str) -> str:
    return station.partition("/")[2]


def a_row(world: World) -> set[str]:
    """A reading of a pump without inspections: the dataset's rows stay as they are, and all that follows from them."""
    folder = world.home.landing / "readings"
    extra = pl.read_parquet(folder / "readings-2024-05.parquet").head(1)
    extra.with_columns(pump=pl.lit(f"P{world.changes}-new")).write_parquet(folder / f"new-{world.changes}.parquet")
    return {
        "raw/readings", "features/pump_state", "feast/online", "pump_repair/dataset", "pump_repair/predictions",
        "pump_repair/monitoring", "pump_repair/retrain_decision",
    }  # fmt: skip


def a_helper_two_imports_away(world: World) -> set[str]:
    """It computes the same in other words, so that what follows is taken."""
    world.edit("far.py", "return pl.col(name)", f"_ = {world.changes}\n    return pl.col(name)")
    return {"features/pump_state"}


def a_setting(world: World) -> set[str]:
    """A wider bound that every row keeps."""
    world.edit("project.py", "maximum=3", f"maximum={world.changes}3")
    return {"raw/readings"}


def a_package(world: World) -> set[str]:
    """Only what measures refers to it, and it gives the same figures."""
    world.versions["sklearn"] = f"99.{world.changes}"
    source_code._found.clear()
    return {"pump_repair/evaluation", "pump_repair/monitoring"}


def a_comment(world: World) -> set[str]:
    for file in ("functions.py", "near.py", "far.py", "module.py", "project.py"):
        text = (world.package / file).read_text()
        (world.package / file).write_text(f'"""Doc {world.changes}."""\n\n# said {world.changes}\n{text}')
    world.edit("far.py", "return 0", f"return 0 + {world.changes}")
    return set()


def a_touched_file(world: World) -> set[str]:
    for path in [*world.package.rglob("*.py"), *world.home.landing.rglob("*.parquet")]:
        os.utime(path, (world.changes, world.changes))
    return set()


MUTATIONS: tuple[Callable[[World], set[str]], ...] = (
    a_row, a_helper_two_imports_away, a_setting, a_package, a_comment, a_touched_file,
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the pumps project, its feature computed by a helper two imports away."""
    folder = tmp_path_factory.mktemp("live")
    package = folder / PACKAGE
    shutil.copytree(_FROM, package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in _HELPERS.items():
        (package / name).write_text(text)
    for path in package.rglob("*.py"):
        path.write_text(path.read_text().replace("mlops_platform_tests.lineage.pumps", PACKAGE))
    functions = (package / "functions.py").read_text()
    functions = functions.replace("import polars as pl\n", f"import polars as pl\n\nfrom {PACKAGE} import near\n", 1)
    functions = functions.replace('pl.col("temperature").cast(pl.Float32)', 'near.number("temperature")')
    (package / "functions.py").write_text(functions)
    return folder


@pytest.fixture(scope="module")
def made(whole: Path) -> Path:
    """Its home, materialized whole."""
    with pytest.MonkeyPatch.context() as patch:
        world = _world(whole, Home(whole / "home"), [], patch)
        patch.setenv("MLOPS_HOME", str(world.home.path))
        patch.setenv("DAGSTER_HOME", str(world.home.path))
        project = world.project()
        land(world.home, project, "2024-05")
        result = materialize(world.home, project)
        assert result.success, failures(result)
    return whole


def _world(folder: Path, home: Home, heard: list[Progress], patch: pytest.MonkeyPatch) -> World:
    patch.syspath_prepend(str(folder))
    patch.setattr(sys, "dont_write_bytecode", True)
    # The trainer is a process of its own.
    patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(Path(__file__).parents[2])]))
    world = World(folder / PACKAGE, home, heard, patch)
    real = source_code._version
    patch.setattr(source_code, "_version", lambda package: world.versions.get(package) or real(package))
    return world


@pytest.fixture
def world(made: Path, tmp_path: Path, listening: list[Progress], monkeypatch: pytest.MonkeyPatch,
          use_home: Callable[[Path], Home]) -> Iterator[World]:  # fmt: skip
    """A copy of both that a test may change."""
    shutil.copytree(made, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    source_code._found.clear()
    world = _world(tmp_path / "copy", use_home(tmp_path / "copy" / "home"), listening, monkeypatch)
    FeastDoor(world.home, world.project()).apply()
    yield world
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]
    source_code._found.clear()


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 12))])
def test_exactly_the_stations_run_that_must(world: World, seed: int) -> None:
    order = list(MUTATIONS)
    random.Random(seed).shuffle(order)
    for mutation in order:
        world.changes += 1
        must = mutation(world)
        steps = {state: {_short(s.station) for s in world.planned() if s.state == state} for state in (RUNS, MAY_RUN)}
        ran = world.run()
        assert ran == must, mutation.__name__
        # The plan named before what ran then, and was sure only of what did.
        assert steps[RUNS] <= ran <= steps[RUNS] | steps[MAY_RUN], mutation.__name__
        assert bool(steps[RUNS]) == bool(must)


def test_the_seed_makes_a_model_anew_and_its_return_takes_the_old_one(world: World) -> None:
    world.edit("project.py", "learning_rate=0.03", "learning_rate=0.03, seed=7")
    steps = {_short(step.station): step for step in world.planned()}
    assert {name for name, step in steps.items() if step.state == RUNS} == {"pump_repair/checkpoint"}
    assert steps["pump_repair/checkpoint"].why == ("configuration network.seed: 0 -> 7",)
    assert world.run() >= _EVERYTHING_AFTER_THE_DATASET
    world.edit("project.py", "learning_rate=0.03, seed=7", "learning_rate=0.03")
    assert "pump_repair/checkpoint" not in world.run()
