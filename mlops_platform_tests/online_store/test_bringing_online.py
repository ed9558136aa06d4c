"""Feature tables go online whole: into ours directly, into another store through Feast, and by Feast's own commands."""

import shutil
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from mlops_platform.errors import PlatformError
from mlops_platform.features.online import bring_online, differing_values, newest_rows
from mlops_platform.manifest import TableRef
from mlops_platform.online_store import Status
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.feast import FeastDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.online import OnlineDoor
from mlops_platform.spec import Column, Project
from mlops_platform_tests.lineage.pumps.project import PROJECT, PUMP_STATE
from mlops_platform_tests.resources.test_online_door import MODEL, examples, newest, with_store


def table_of(home: Home) -> dict[str, TableRef]:
    return {"pump_state": DeltaDoor(home.feature_table("pumps", "pump_state")).ref(home)}


def values(door: OnlineDoor) -> list[tuple[float, ...]]:
    at = newest(door.home)["event_timestamp"].max()
    return door.read(MODEL, examples(["P0", "P1", "P2", "P3"], at)).values.rows()  # type: ignore[arg-type]


def test_a_materialized_home_has_the_newest_rows_online(pumps_home: Path) -> None:
    door = OnlineDoor(Home(pumps_home), PROJECT)
    assert door.ours
    assert door.there
    assert values(door) == newest(door.home).select("temperature", "vibration").rows()


def test_what_differs_is_found_whichever_key_it_is(pumps_copy: Home) -> None:
    feast, online = FeastDoor(pumps_copy, PROJECT), OnlineDoor(pumps_copy, PROJECT)
    tables = table_of(pumps_copy)
    assert bring_online(feast, tables, {"pump_state": "d"})["different"] == {}
    rows = newest_rows(feast, PUMP_STATE, tables["pump_state"])
    assert differing_values(online, PUMP_STATE, rows) == {}
    wrong = rows.with_columns(vibration=pl.when(pl.col("pump") == "P1").then(99.0).otherwise("vibration"))
    online.write(PUMP_STATE, wrong.with_columns(pl.col("vibration").cast(pl.Float32)))
    found = differing_values(online, PUMP_STATE, rows)
    assert list(found) == ["pump_state:vibration"]
    assert found["pump_state:vibration"][0] == "99.0"
    with sqlite3.connect(online.packed.path) as file:
        file.execute("DELETE FROM rows_pumps_pump_state")
    assert set(differing_values(online, PUMP_STATE, rows)) == {"pump_state:temperature", "pump_state:vibration"}


def test_redis_by_one_line_of_feature_store_yaml(pumps_copy: Home, tmp_path: Path, redis_server: str) -> None:
    project = with_store(PROJECT, tmp_path / "redis", f"{{type: redis, connection_string: '{redis_server}'}}")
    feast, door = FeastDoor(pumps_copy, project), OnlineDoor(pumps_copy, project)
    feast.apply()
    assert (door.ours, door.there) == (False, True)
    assert door.identity != OnlineDoor(pumps_copy, PROJECT).identity
    brought = bring_online(feast, table_of(pumps_copy), {"pump_state": "d"})
    assert brought["different"] == {}
    rows = newest(pumps_copy)
    asked = examples(["P1", "P9", None, "P0"], rows["event_timestamp"].max() + timedelta(hours=1))  # type: ignore[operator, arg-type]
    got = door.read(MODEL, asked)
    found, missing = Status.PRESENT, Status.MISSING
    assert got.statuses["pump_state"].to_list() == [found, missing, missing, found]
    ours = OnlineDoor(pumps_copy, PROJECT).read(MODEL, asked)
    assert got.values.equals(ours.values, null_equal=True)
    assert got.events.equals(ours.events, null_equal=True)
    late = door.read(MODEL, asked.with_columns(pl.col("event_timestamp") + timedelta(days=9)))
    assert late.statuses["pump_state"].to_list() == [Status.STALE, missing, missing, Status.STALE]
    assert late.values.null_count().row(0) == (4, 4)


def test_feasts_own_commands_work_on_our_store(pumps_copy: Home) -> None:
    from click.testing import CliRunner
    from feast.cli.cli import cli

    door = OnlineDoor(pumps_copy, PROJECT)
    wanted = values(door)
    door.packed.close()
    for file in pumps_copy.feast.glob("online*"):
        file.unlink()

    def feast(*words: str) -> None:
        done = CliRunner().invoke(cli, ["--chdir", str(PROJECT.feature_repo), *words])
        assert done.exit_code == 0, done.output

    feast("apply")
    assert values(door) == [(None, None)] * 4
    feast("materialize", "2024-01-01T00:00:00", "2024-06-01T00:00:00")
    assert values(door) == wanted
    feast("materialize-incremental", "2024-06-02T00:00:00")
    assert values(door) == wanted
    feast("teardown")
    with pytest.raises(PlatformError, match="no such file"):
        values(door)


def test_a_column_more_is_applied_then_brought_online(pumps_copy: Home, tmp_path: Path) -> None:
    """Models of the old columns are answered until the new rows are there; then they are told, not misled."""
    wider = replace(PUMP_STATE, columns=(*PUMP_STATE.columns, Column(name="heat", dtype="float64")))
    repo = tmp_path / "repo"
    shutil.copytree(PROJECT.feature_repo, repo)
    (file,) = [f for f in repo.glob("*.py") if "pump_state = FeatureView" in f.read_text()]
    text = file.read_text().replace("import Float32", "import Float32, Float64")
    file.write_text(text.replace("schema=[", 'schema=[Field(name="heat", dtype=Float64), '))
    model = replace(MODEL, features=("pump_state:temperature", "pump_state:vibration"))
    project: Project = replace(PROJECT, feature_tables=(wider,), feature_repo=repo, models=())
    old = OnlineDoor(pumps_copy, PROJECT)
    before = values(old)
    FeastDoor(pumps_copy, project).apply()
    assert values(old) == before
    rows = newest(pumps_copy).with_columns(heat=pl.lit(1.5))
    with pytest.raises(PlatformError, match="as Feast's registry was last applied"):
        old.write(PUMP_STATE, rows)
    new = OnlineDoor(pumps_copy, project)
    new.write(wider, rows)
    at = rows["event_timestamp"].max()
    assert new.read(model, examples(["P0"], at)).values.rows() == before[:1]  # type: ignore[arg-type]
    with pytest.raises(PlatformError, match="written with other columns"):
        values(old)


def test_a_key_of_another_type_is_refused_before_rows_are_lost(pumps_copy: Home, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    shutil.copytree(PROJECT.feature_repo, repo)
    (file,) = [f for f in repo.glob("*.py") if "ValueType.STRING" in f.read_text()]
    file.write_text(file.read_text().replace("ValueType.STRING", "ValueType.INT64"))
    with pytest.raises(PlatformError, match="key pump of view pump_state: declared STRING, in the repository INT64"):
        FeastDoor(pumps_copy, replace(PROJECT, feature_repo=repo)).apply()


def test_newest_is_the_newest_known(home: Home) -> None:
    at = datetime(2024, 5, 1, tzinfo=UTC)
    hour = timedelta(hours=1)
    rows = pl.DataFrame(
        {
            "pump": ["a", "a", "b", None, "a"], "temperature": [1.0, 2.0, 3.0, 4.0, 5.0], "vibration": [0.0] * 5,
            "event_timestamp": [at, at, at - hour, at, at - hour],
            "known_timestamp": [at, at + hour, at, at, at + 9 * hour],
            "_partition": ["2024-05"] * 5,
        },
    ).with_columns(pl.col("temperature", "vibration").cast(pl.Float32))  # fmt: skip
    door = DeltaDoor(home.feature_table("pumps", "pump_state"))
    times = pl.col("event_timestamp", "known_timestamp").cast(pl.Datetime("us", "UTC"))
    door.append(rows.with_columns(times), digests={})
    found = newest_rows(FeastDoor(home, PROJECT), PUMP_STATE, door.ref(home))
    assert found.sort("pump").select("pump", "temperature").rows() == [("a", 2.0), ("b", 3.0)]
