"""A home that is copied or moved reads its own tables, although Feast's registry names tables by their whole path."""

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from mlops_platform.errors import PlatformError
from mlops_platform.resources.feast import FeastDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.station import Progress
from mlops_platform_tests.lineage.pumps.project import PROJECT
from mlops_platform_tests.lineage.run import failures, land, materialize, red_checks

pytestmark = pytest.mark.long

REGISTRY = "pumps/feast/registry"


@pytest.fixture
def moved(april: Path, tmp_path: Path, use_home: Callable[[Path], Home]) -> Home:
    """A plain copy of a home, as `cp -r` makes it."""
    home = use_home(tmp_path / "moved")
    shutil.copytree(april, home.path)
    home.prepare()
    return home


def worked(heard: list[Progress]) -> set[str]:
    return {progress.station for progress in heard if progress.seconds is not None and not progress.hit}


def test_features_of_a_new_month_come_from_the_copy(april: Path, moved: Home, listening: list[Progress]) -> None:
    before = Refs(moved).read(REGISTRY).manifest.digest
    land(moved, PROJECT, "2024-05")
    result = materialize(moved, PROJECT, 'group:"sources" or group:"features" or group:"datasets"')
    assert result.success and red_checks(result) == {}, failures(result)
    assert REGISTRY in worked(listening) and Refs(moved).read(REGISTRY).manifest.digest == before

    dataset = Refs(moved).read("pumps/pump_repair/dataset")
    may = pl.read_parquet(dataset.file("holdout.parquet")).filter(pl.col("event_timestamp").dt.month() == 5)
    assert may.height > 0 and may["pump_state__temperature"].null_count() == 0
    views = FeastDoor(moved, PROJECT).store({}).list_feature_views()
    assert [view.batch_source.path for view in views] == [str(moved.feature_table("pumps", "pump_state"))]
    assert (
        Refs(Home(april)).read("pumps/features/pump_state").manifest.digest
        != Refs(moved).read("pumps/features/pump_state").manifest.digest
    )


def test_only_the_registry_is_made_again_and_once(moved: Home, listening: list[Progress]) -> None:
    assert materialize(moved, PROJECT, 'group:"features" or group:"datasets"').success
    assert worked(listening) == {REGISTRY}
    listening.clear()
    assert materialize(moved, PROJECT, f'key:"{REGISTRY}"').success
    assert worked(listening) == set()


def test_a_station_that_would_read_the_old_home_says_so(april: Path, moved: Home) -> None:
    with pytest.raises(PlatformError, match=f"(?s)applied for {april / 'dev'}.*pumps/feast/registry"):
        FeastDoor(moved, PROJECT).store({})
    (moved.feast / "applied_for").unlink()
    with pytest.raises(PlatformError, match="applied for no home that is known"):
        FeastDoor(moved, PROJECT).store({})
