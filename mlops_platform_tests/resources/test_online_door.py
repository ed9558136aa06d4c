"""A model's features for entities asked about now, from our store and from Feast's own."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from mlops_platform.errors import PlatformError
from mlops_platform.online_store import FEW, Status
from mlops_platform.online_store.packed import FEAST_TYPE
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.online import OnlineDoor
from mlops_platform.spec import Project
from mlops_platform_tests.lineage.pumps.project import PROJECT

MODEL = PROJECT.models[0]
DAY = timedelta(days=1)
_SQLITE = "{type: sqlite, path: '${MLOPS_HOME}/${MLOPS_ENV}/feast/sqlite.db'}"
_OURS = f"{{type: {FEAST_TYPE}, path: '${{MLOPS_HOME}}/${{MLOPS_ENV}}/feast/online/packed.db'}}"


def with_store(project: Project, folder: Path, online: str) -> Project:
    """The project over a copy of its Feast repository that names another online store."""
    folder.mkdir()
    for file in Path(project.feature_repo).glob("*.py"):
        (folder / file.name).write_bytes(file.read_bytes())
    kept = (Path(project.feature_repo) / "feature_store.yaml").read_text().split("online_store:")
    after = kept[1].split("offline_store:")[1]
    (folder / "feature_store.yaml").write_text(f"{kept[0]}online_store: {online}\noffline_store:{after}")
    return replace(project, feature_repo=folder)


def newest(home: Home) -> pl.DataFrame:
    """The newest row of each pump."""
    rows = DeltaDoor(home.feature_table("pumps", "pump_state")).scan().collect()
    return rows.sort("event_timestamp", "known_timestamp").unique("pump", keep="last", maintain_order=True).sort("pump")


def examples(pumps: list[str | None], at: datetime) -> pl.DataFrame:
    types = {"pump": pl.String(), "event_timestamp": pl.Datetime("us", "UTC")}
    return pl.DataFrame({"pump": pumps, "event_timestamp": [at] * len(pumps)}, types)


@pytest.fixture
def packed(pumps_copy: Home, tmp_path: Path) -> OnlineDoor:
    """The pumps' newest rows in our store."""
    door = OnlineDoor(pumps_copy, with_store(PROJECT, tmp_path / "repo", _OURS))
    door.packed.write(door.view(PROJECT.feature_tables[0]), newest(pumps_copy))
    return door


def test_features_come_in_the_models_order_with_their_times(packed: OnlineDoor) -> None:
    rows = newest(packed.home)
    at = rows["event_timestamp"].max() + DAY  # type: ignore[operator]
    got = packed.read(MODEL, examples(["P2", "P9", "P0", None], at))  # type: ignore[arg-type]
    assert got.values.columns == ["pump_state__temperature", "pump_state__vibration"]
    assert got.values.schema == {name: pl.Float32 for name in got.values.columns}
    assert got.values.rows() == [rows.select("temperature", "vibration").row(2), (None, None),
                                 rows.select("temperature", "vibration").row(0), (None, None)]  # fmt: skip
    assert got.statuses.schema == {"pump_state": pl.UInt8}
    assert got.statuses["pump_state"].to_list() == [Status.PRESENT, Status.MISSING, Status.PRESENT, Status.MISSING]
    assert got.events["pump_state"].to_list() == [rows["event_timestamp"][2], None, rows["event_timestamp"][0], None]
    assert got.knowns["pump_state"].to_list() == [rows["known_timestamp"][2], None, rows["known_timestamp"][0], None]


@pytest.mark.parametrize(("after", "status"), [(2 * DAY, Status.PRESENT), (3 * DAY, Status.STALE),
                                               (-DAY, Status.LATER)])  # fmt: skip
def test_both_stores_judge_alike(packed: OnlineDoor, tmp_path: Path, after: timedelta, status: Status) -> None:
    """Feast tells whole seconds and no known timestamps; all else is equal."""
    from mlops_platform.resources.feast import FeastDoor

    other = OnlineDoor(packed.home, with_store(PROJECT, tmp_path / "other", _SQLITE))
    assert (packed.ours, other.ours) == (True, False)
    feast = FeastDoor(other.home, other.project)
    feast.apply()
    rows = newest(packed.home)
    ref = DeltaDoor(packed.home.feature_table("pumps", "pump_state")).ref(packed.home)
    last: datetime = rows["event_timestamp"].max()  # type: ignore[assignment]
    feast.materialize({"pump_state": ref}, last - 90 * DAY, last)
    asked = examples(["P3", "P9", "P1", None, "P3"], last + after)
    ours, theirs = packed.read(MODEL, asked), other.read(MODEL, asked)
    missing = Status.MISSING
    assert ours.statuses["pump_state"].to_list() == [status, missing, status, missing, status]
    assert theirs.statuses.equals(ours.statuses)
    assert theirs.values.equals(ours.values, null_equal=True)
    assert theirs.values.schema == ours.values.schema
    assert theirs.events.equals(ours.events, null_equal=True)
    assert theirs.knowns["pump_state"].to_list() == [None] * 5
    nobody = other.read(MODEL, examples([None], last))
    assert nobody.statuses["pump_state"].to_list() == [Status.MISSING]


@pytest.mark.parametrize("hours", [-24, 24, 72])
def test_few_rows_are_read_as_many_are(packed: OnlineDoor, hours: int) -> None:
    at: datetime = newest(packed.home)["event_timestamp"].max() + timedelta(hours=hours)  # type: ignore[operator, assignment]
    pumps: list[str | None] = ["P3", "P9", "P1", None, "P3", "P0"]
    few = packed.read(MODEL, examples(pumps, at))
    many = packed.read(MODEL, examples(pumps * FEW, at))
    for name in ("values", "statuses", "events", "knowns"):
        mine, theirs = getattr(few, name), getattr(many, name)
        assert mine.schema == theirs.schema
        assert mine.equals(theirs[: len(pumps)], null_equal=True), name


def test_no_rows(packed: OnlineDoor, tmp_path: Path) -> None:
    at = datetime(2024, 5, 1, tzinfo=UTC)
    other = OnlineDoor(packed.home, with_store(PROJECT, tmp_path / "other", _SQLITE))
    for door in (packed, other):
        got = door.read(MODEL, examples([], at))
        assert (got.values.shape, got.statuses.shape) == ((0, 2), (0, 1))


def test_what_is_not_online_is_said(pumps_copy: Home, tmp_path: Path) -> None:
    door = OnlineDoor(pumps_copy, with_store(PROJECT, tmp_path / "repo", _OURS))
    with pytest.raises(PlatformError, match="feast/online asset"):
        door.read(MODEL, examples(["P1"], datetime(2024, 5, 1, tzinfo=UTC)))


def test_our_store_is_read_without_feast(packed: OnlineDoor) -> None:
    program = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from dataclasses import replace
from mlops_platform.resources.home import Home
from mlops_platform.resources.online import OnlineDoor
from mlops_platform_tests.lineage.pumps.project import PROJECT
from mlops_platform_tests.resources.test_online_door import MODEL, examples
door = OnlineDoor(Home(Path(sys.argv[1])), replace(PROJECT, feature_repo=Path(sys.argv[2])))
assert door.read(MODEL, examples(["P1"], datetime(2024, 5, 10, tzinfo=UTC))).values.height == 1
heavy = {"feast", "pandas", "torch", "mlflow", "dagster", "pyarrow"} & set(sys.modules) - {"pytest"}
print(sorted(heavy))
"""
    found = subprocess.run([sys.executable, "-c", program, str(packed.home.path), str(packed.project.feature_repo)],
                           capture_output=True, text=True, check=False, env={**os.environ})  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == "[]"
