"""A home that has lived is collected, and everything that people ask of it still works."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from mlops_platform.datasets.reproduce import reproduce
from mlops_platform.errors import PlatformError
from mlops_platform.provenance.walk import why
from mlops_platform.registry.alias import ChampionAlias
from mlops_platform.registry.by_person import Asked, rollback
from mlops_platform.resources.aliases import registered_name
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.garbage import TABLE, collect
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import MlflowDoor
from mlops_platform.resources.reachability import stored
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.station import Progress, listeners
from mlops_platform_tests.lineage.pumps.project import PROJECT
from mlops_platform_tests.lineage.pumps.variants import BETTER
from mlops_platform_tests.lineage.run import failures, land, materialize

pytestmark = pytest.mark.long

TABLES = '+key:"pumps/pump_repair/dataset"'


def grow(home: Home, number: int, selection: str) -> None:
    """One more reading, and one more of yesterday's inspections put right, and a run of a part of the graph."""
    readings = home.landing / "readings" / "readings-2024-05.parquet"
    pl.read_parquet(readings).head(1).with_columns(pump=pl.lit(f"N{number}")).write_parquet(
        readings.with_name(f"new-{number}.parquet")
    )
    inspections = home.landing / "inspections" / "inspections-2024-05.parquet"
    put_right = pl.read_parquet(inspections)[number : number + 1].with_columns(
        (1 - pl.col("repaired")).alias("repaired")
    )
    put_right.write_parquet(inspections.with_name(f"right-{number}.parquet"))
    result = materialize(home, BETTER, selection)
    assert result.success, failures(result)


@pytest.fixture
def lived(moved_home: Home) -> Home:
    """Two champions, then three versions of the data of which only the last was trained on."""
    for number, selection in enumerate((TABLES, TABLES, "*")):
        grow(moved_home, number, selection)
    return moved_home


def test_what_people_ask_for_still_works(lived: Home, listening: list[Progress], tmp_path: Path) -> None:
    door, refs = MlflowDoor(lived, "pumps"), Refs(lived)
    before, standing = stored(lived), {station: refs.read(station).manifest for station in refs.stations()}
    log = DeltaDoor(lived.prediction_log("pumps", "pump_repair")).scan().collect()
    removed = collect(lived, door, young=timedelta(0), wait=0)
    kinds, after = removed.by_kind(), stored(lived)
    assert kinds["dataset"][0] == 2 and kinds["features"][0] == 2 and {"raw", "recipe"} <= set(kinds)
    assert TABLE in kinds and removed.kept["checkpoint"] == len(
        [m for m in before.values() if m.manifest.kind == "checkpoint"]
    )
    assert sum(size for _, size in kinds.values()) > 0 and len(after) < len(before)
    assert {station: refs.read(station).manifest for station in refs.stations()} == standing

    # Every answer ever logged is explained, down to its rows.
    assert log["batch"].n_unique() >= 2
    for batch in log.group_by("batch").agg(pl.col("prediction_id").first())["prediction_id"]:
        found = why(lived, BETTER, batch)
        assert all(row.recomputed_equal for row in found.features)

    # Every dataset that a champion learned from can be made again.
    history = PromotionHistory(lived, "pumps", "pump_repair")
    for number, checkpoint in enumerate({move.checkpoint for move in history.moves() if move.checkpoint}):
        dataset = after[after[checkpoint].manifest.recipe.inputs["dataset"]].manifest
        folder = tmp_path / f"again-{number}"
        folder.mkdir()
        assert reproduce(lived, BETTER, BETTER.models[0], dataset, folder).differing == ()

    # Nothing is to be done, and nothing is left to collect.
    assert materialize(lived, BETTER).success
    assert {p.station for p in listening if p.seconds is not None and not p.hit and not p.skipped} == set()
    assert collect(lived, door, young=timedelta(0), wait=0).items == ()

    # The older champion comes back, and answers.
    alias = ChampionAlias(history=history, door=door, name=registered_name("pumps", "pump_repair"))
    target = next(move.champion for move in history.moves() if move.champion)
    assert rollback(alias, Asked(by="ada", because="complaints"), to=target).champion == target
    result = materialize(lived, BETTER)
    assert result.success, failures(result)
    assert refs.read("pumps/pump_repair/predictions").manifest.content["version"] == target


def test_no_garbage_is_collected_while_a_run_is_at_work(home: Home) -> None:
    land(home, PROJECT, "2024-03")
    said: list[str] = []

    def collecting(progress: Progress) -> None:
        with pytest.raises(PlatformError) as refused:
            collect(home, MlflowDoor(home, "pumps"), young=timedelta(0), wait=0)
        said.append(refused.value.found)

    listeners.append(collecting)
    try:
        assert materialize(home, PROJECT, 'group:"sources"').success
    finally:
        listeners.remove(collecting)
    assert len(said) == 6 and collect(home, MlflowDoor(home, "pumps"), young=timedelta(0), wait=0).items == ()
