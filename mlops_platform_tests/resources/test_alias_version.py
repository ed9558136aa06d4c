"""An alias is read from MLflow's SQLite file as MLflow reads it, and without importing MLflow."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_platform.resources.aliases import alias_version
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import MlflowDoor

NAMES = ("pumps.pump_repair", "pumps.other", "pumps.none", "")
ALIASES = ("champion", "Champion", "challenger", "nothing")
_PLAN = """
import sys
from mlops_platform.cli import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    assert not ended.code, ended.code
print(sorted({name.partition(".")[0] for name in sys.modules} & {"mlflow", "torch", "feast", "pandas", "sqlalchemy"}))
"""


@pytest.fixture
def door(home: Home) -> MlflowDoor:
    """Two models; one has two versions."""
    found = MlflowDoor(home, "pumps")
    for name, versions in (("pumps.pump_repair", 2), ("pumps.other", 1)):
        found.client.create_registered_model(name)
        for _ in range(versions):
            found.client.create_model_version(name, source=str(home.mlflow / "models"))
    return found


def of_mlflow(door: MlflowDoor) -> MlflowDoor:
    """The same store, as a tracking server's address would name it."""
    return MlflowDoor(door.home, door.project, door.tracking_uri)


def both(door: MlflowDoor) -> dict[tuple[str, str], str | None]:
    """Every alias of every name, after comparing the two ways to read it."""
    ours = {(name, alias): alias_version(door, name, alias) for name in NAMES for alias in ALIASES}
    assert ours == {key: alias_version(of_mlflow(door), *key) for key in ours}
    return {key: version for key, version in ours.items() if version is not None}


def test_it_says_what_mlflow_says(door: MlflowDoor) -> None:
    client = door.client
    assert both(door) == {}
    client.set_registered_model_alias("pumps.pump_repair", "champion", "1")
    client.set_registered_model_alias("pumps.other", "challenger", "1")
    assert both(door) == {("pumps.pump_repair", "champion"): "1", ("pumps.other", "challenger"): "1"}
    client.set_registered_model_alias("pumps.pump_repair", "champion", "2")
    client.set_registered_model_alias("pumps.pump_repair", "challenger", "2")
    assert both(door)["pumps.pump_repair", "champion"] == "2"
    client.delete_registered_model_alias("pumps.pump_repair", "challenger")
    assert ("pumps.pump_repair", "challenger") not in both(door)
    client.delete_model_version("pumps.pump_repair", "2")
    assert both(door) == {("pumps.other", "challenger"): "1"}
    client.rename_registered_model("pumps.other", "pumps.none")
    assert both(door) == {("pumps.none", "challenger"): "1"}
    client.delete_registered_model("pumps.none")
    assert both(door) == {}


def test_an_alias_left_at_a_deleted_version_points_nowhere(door: MlflowDoor) -> None:
    door.client.delete_model_version("pumps.pump_repair", "2")
    with sqlite3.connect(door.home.mlflow / "mlflow.db") as database:
        row = ("default", "pumps.pump_repair", "champion", 2)
        database.execute(
            "INSERT INTO registered_model_aliases (workspace, name, alias, version) VALUES (?, ?, ?, ?)", row
        )
    assert both(door) == {}


def test_with_no_store_nothing_points_and_none_is_made(home: Home) -> None:
    assert alias_version(MlflowDoor(home, "pumps"), "pumps.pump_repair", "champion") is None
    assert not home.mlflow.exists()


def test_a_look_at_a_registry_without_tables_finds_no_alias_and_makes_none(home: Home) -> None:
    home.mlflow.mkdir()
    (home.mlflow / "mlflow.db").touch()
    assert alias_version(MlflowDoor(home, "pumps"), "pumps.pump_repair", "champion") is None
    assert (home.mlflow / "mlflow.db").stat().st_size == 0


@pytest.mark.parametrize("command", [("plan",), ("materialize", "--quiet")], ids=lambda command: command[0])
def test_a_plan_and_a_run_of_nothing_import_no_engine(pumps_home: Path, command: tuple[str, ...]) -> None:
    environment = {**os.environ, "MLOPS_HOME": str(pumps_home), "DAGSTER_HOME": str(pumps_home),
                   "MLOPS_PROJECT": "mlops_platform_tests.lineage.pumps.project:PROJECT"}  # fmt: skip
    ended = subprocess.run([sys.executable, "-c", _PLAN, *command], capture_output=True, text=True, check=True,
                           env=environment, timeout=120)  # fmt: skip
    *_, before, imported = ended.stdout.splitlines()
    assert imported == "['sqlalchemy']", "Dagster's own"
    assert before.endswith("16 would be taken") if command == ("plan",) else before.startswith("nothing to do: ")
