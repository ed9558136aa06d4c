"""Homes that tests share: materialized once, read by many, copied by those that change them."""

import fcntl
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from mlops_platform.resources.home import Home
from mlops_platform_tests.lineage.run import failures, land, materialize
from mlops_platform_tests.resources.receiver import SECRET as SHARED
from mlops_platform_tests.resources.receiver import Receiver, receiving


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests come first, so that no worker is left alone with one at the end."""
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(autouse=True)
def _no_home_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads or writes the home that the shell has."""
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLOPS_ENV", "dev")
    monkeypatch.setenv("MLOPS_ACTOR", "tests")
    monkeypatch.setenv("MLOPS_LANDING", "")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> None:
    for name in ("dagster", "mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home."""
    found = Home(tmp_path / "home")
    found.prepare()
    return found


@pytest.fixture(scope="session")
def pumps_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pumps project, materialized whole. Read only: use ``pumps_copy`` to change it."""
    from mlops_platform_tests.lineage.pumps.project import PROJECT

    return _shared(tmp_path_factory, "pumps", PROJECT, "2024-05")


@pytest.fixture(scope="session")
def april(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pumps through April, with a champion that has answered for the first of May. Read only."""
    from mlops_platform_tests.lineage.pumps.project import PROJECT

    return _shared(tmp_path_factory, "april", PROJECT, "2024-04")


@pytest.fixture(scope="session")
def flights_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flights project, landed through March 2013 and materialized whole. Read only."""
    from mlops_platform.projects.flights.project import PROJECT

    return _shared(tmp_path_factory, "flights", PROJECT, "2013-03")


@pytest.fixture
def pumps_copy(pumps_home: Path, tmp_path: Path) -> Home:
    """A materialized pumps home that a test may change."""
    return _copied(pumps_home, tmp_path)


@pytest.fixture
def use_home(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Home]:
    """Points the process at a home for the length of a test."""

    def use(path: Path) -> Home:
        monkeypatch.setenv("MLOPS_HOME", str(path))
        monkeypatch.setenv("DAGSTER_HOME", str(path))
        return Home(path)

    return use


@pytest.fixture(scope="session")
def two_champions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pumps: version 1 was champion and version 2 is, by the gate. Read only: use ``moved_home`` to change it."""
    from mlops_platform_tests.lineage.pumps.variants import BETTER, POOR

    return _shared(tmp_path_factory, "two", POOR, "2024-05", then=(BETTER,))


@pytest.fixture
def moved_home(two_champions: Path, tmp_path: Path, use_home: Callable[[Path], Home]) -> Home:
    """A home with two champions that a test may change."""
    use_home(tmp_path / "home")
    return _copied(two_champions, tmp_path)


def _shared(
    factory: pytest.TempPathFactory, name: str, project: object, through: str, *, then: Sequence[object] = ()
) -> Path:
    """A home that the first worker who needs it makes, and the others wait for."""
    base = factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, whole = root / f"shared-{name}", root / f"shared-{name}.whole"
    with (root / f"shared-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _made(folder, project, through, then=then)
            whole.touch()
    return folder / "home"


def _made(path: Path, project: object, through: str, *, then: Sequence[object] = ()) -> Path:
    kept = {name: os.environ.get(name) for name in ("MLOPS_HOME", "DAGSTER_HOME", "MLOPS_ENV", "MLOPS_ACTOR")}
    os.environ |= {"MLOPS_ENV": "dev", "MLOPS_ACTOR": "tests"}
    home = Home(path / "home")
    try:
        land(home, project, through)
        for each in (project, *then):
            result = materialize(home, each)
            assert result.success, failures(result)
    finally:
        for name, value in kept.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    return home.path


def _copied(source: Path, tmp_path: Path) -> Home:
    """A copy of a home of the pumps, its registry applied: that names tables by their whole path."""
    from mlops_platform.resources.feast import FeastDoor
    from mlops_platform_tests.lineage.pumps.project import PROJECT

    home = Home(tmp_path / "home")
    shutil.rmtree(home.path, ignore_errors=True)
    shutil.copytree(source, home.path)
    home.prepare()
    FeastDoor(home, PROJECT).apply()
    return home


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver that the environment names, with the secret it shares."""
    from mlops_platform.resources.webhook import SECRET, URL

    with receiving() as receiver:
        monkeypatch.setenv(URL, receiver.url)
        monkeypatch.setenv(SECRET, SHARED)
        yield receiver


@pytest.fixture
def listening() -> Iterator[list]:
    """Everything that stations say during a test."""
    from mlops_platform.resources.station import listeners

    heard: list = []
    listeners.append(heard.append)
    yield heard
    listeners.remove(heard.append)
