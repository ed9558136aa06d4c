"""A late correction moves the months it touches; the dataset of before stays reproducible, byte by byte."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from mlops_platform.datasets.reproduce import Reproduced, reproduce
from mlops_platform.errors import PlatformError
from mlops_platform.manifest import Manifest
from mlops_platform.projects.flights.project import PROJECT as FLIGHTS
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.station import Progress
from mlops_platform.spec import Project
from mlops_platform_tests.lineage.pumps.project import PROJECT
from mlops_platform_tests.lineage.run import failures, land, materialize

pytestmark = pytest.mark.long

DATASET, TABLE = "pumps/pump_repair/dataset", "pumps/features/pump_state"


def correct(home: Home, table: str, month: str, *values: pl.Expr, rows: pl.Expr | bool = True) -> int:
    """Lands the rows of a month once more, with other values; returns how many."""
    path = home.landing / table / f"{table}-{month}.parquet"
    corrected = pl.read_parquet(path).filter(rows).with_columns(*values)
    corrected.write_parquet(path.with_name(f"corrected-{month}.parquet"))
    return corrected.height


def until_dataset(home: Home, project: Project) -> None:
    result = materialize(home, project, f'+key:"{project.name}/{project.models[0].name}/dataset"')
    assert result.success, failures(result)


def computed(home: Home, table: str) -> list[str]:
    return list(Refs(home).read(table).manifest.produced.measured["computed"])


def again(home: Home, project: Project, dataset: Manifest, folder: Path) -> Reproduced:
    folder.mkdir()
    return reproduce(home, project, project.models[0], dataset, folder)


def test_a_correction_of_a_month(
    pumps_copy: Home, use_home: Callable, listening: list[Progress], tmp_path: Path
) -> None:
    use_home(pumps_copy.path)
    refs, raw = Refs(pumps_copy), DeltaDoor(pumps_copy.raw_table("pumps", "readings"))
    dataset, table, readings = (refs.read(name).manifest for name in (DATASET, TABLE, "pumps/raw/readings"))
    begun, before = datetime.now(UTC), raw.scan().collect()
    count = correct(pumps_copy, "readings", "2024-04", pl.col("temperature") + 1)
    until_dataset(pumps_copy, PROJECT)

    # A new version of the rows with a known time of its own; the old version is still there, in table and history.
    rows = raw.scan().collect()
    late = rows.join(before, on=["_file", "_row"], how="anti")
    assert late.height == count == rows.height - before.height and late["known_timestamp"].min() > begun
    assert raw.version == readings.delta.version + 1
    assert raw.scan(readings.delta.version).collect().height == before.height

    # The month, and the one whose first hour of lookback reaches into it.
    now = refs.read(TABLE).manifest
    assert computed(pumps_copy, TABLE) == ["2024-04", "2024-05"]
    assert list(now.produced.measured["kept"]) == ["2024-03", "2024-06"]
    changed = {m for m in now.delta.partitions if now.delta.partitions[m] != table.delta.partitions[m]}
    assert changed == {"2024-04"}

    # Nobody could know it when the examples were asked: the dataset is made again, from March's rows and anew, and is
    # the very same.
    assert DATASET in {p.station for p in listening if p.seconds is not None and not p.hit and not p.skipped}
    assert refs.read(DATASET).manifest == dataset
    told = again(pumps_copy, PROJECT, dataset, tmp_path / "again")
    assert told.differing == () and told.files == dataset.files
    assert told.versions["features:pump_state"] == table.delta.version != now.delta.version


def test_an_older_dataset_is_reproducible_after_its_labels_were_corrected(
    pumps_copy: Home, use_home: Callable, tmp_path: Path
) -> None:
    use_home(pumps_copy.path)
    old = Refs(pumps_copy).read(DATASET).manifest
    path = pumps_copy.landing / "readings" / "readings-2024-05.parquet"
    # A gauge that nobody had read out: known long ago, delivered now.
    pl.read_parquet(path).with_columns(pump=pl.lit("P8")).write_parquet(path.with_name("forgotten.parquet"))
    inspected = path.parents[1] / "inspections" / "inspections-2024-05.parquet"
    pl.read_parquet(inspected).with_columns(pump=pl.lit("P8")).write_parquet(inspected.with_name("forgotten.parquet"))
    until_dataset(pumps_copy, PROJECT)
    new = Refs(pumps_copy).read(DATASET).manifest
    assert new.digest != old.digest and new.produced.measured["reused"] > 0
    for name, manifest in (("old", old), ("new", new)):
        told = again(pumps_copy, PROJECT, manifest, tmp_path / name)
        assert told.differing == () and told.files == manifest.files, name
    # What differs is named.
    tampered = replace(old, content={**old.content, "purged": 99}, files={**old.files, "train.parquet": "sha256:0"})
    assert again(pumps_copy, PROJECT, tampered, tmp_path / "tampered").differing == ("train.parquet", "purged")


def test_corrected_labels_are_learned_from_as_they_were_known_in_time(
    pumps_copy: Home, use_home: Callable, tmp_path: Path
) -> None:
    use_home(pumps_copy.path)
    old = Refs(pumps_copy).read(DATASET).manifest
    for month in ("2024-03", "2024-05"):
        correct(pumps_copy, "inspections", month, (1 - pl.col("repaired")).alias("repaired"))
    until_dataset(pumps_copy, PROJECT)
    artifact = Refs(pumps_copy).read(DATASET)
    new = artifact.manifest
    # March was learned from by what was known then; the holdout of May is judged by what is known now.
    same = {name for name in old.files if old.files[name] == new.files[name]}
    assert same == {"train.parquet", "validation.parquet"}
    assert new.content["earlier_labels"] > 80 and new.content["rows"] == old.content["rows"]
    assert new.content["parts"]["holdout"] != old.content["parts"]["holdout"]
    for name, manifest in (("old", old), ("new", new)):
        told = again(pumps_copy, PROJECT, manifest, tmp_path / name)
        assert told.differing == () and told.files == manifest.files, name


def test_withdrawn_labels_are_learned_from_as_they_were_known_in_time(pumps_copy: Home, use_home: Callable) -> None:
    use_home(pumps_copy.path)
    old = Refs(pumps_copy).read(DATASET).manifest
    for month, rows in (("2024-03", True), ("2024-05", pl.col("pump") == "P1")):
        correct(pumps_copy, "inspections", month, pl.lit(None, dtype=pl.Int64).alias("repaired"), rows=rows)
    until_dataset(pumps_copy, PROJECT)
    new = Refs(pumps_copy).read(DATASET).manifest
    assert {name for name in old.files if old.files[name] == new.files[name]} == {"train.parquet", "validation.parquet"}
    gone = old.content["parts"]["holdout"]["rows"] - new.content["parts"]["holdout"]["rows"]
    assert gone > 0 and new.content["earlier_labels"] > 80 and new.content["examples"] == old.content["examples"]
    # What is neither in a part nor purged: the withdrawn of May, and those of March that were known too late anyway.
    left_out = sum(new.content["unlabelled"].values()) + new.content["purged"] + new.content["embargoed"]
    assert new.content["rows"] == old.content["rows"] - gone == new.content["examples"] - left_out


def test_what_is_not_comparable_is_refused(pumps_home: Path, use_home: Callable, tmp_path: Path) -> None:
    home = use_home(pumps_home)
    dataset = Refs(home).read(DATASET).manifest
    model = replace(PROJECT.models[0], slices=())
    with pytest.raises(PlatformError, match="the declaration is") as caught:
        reproduce(home, PROJECT, model, dataset, tmp_path)
    assert "its code" not in caught.value.found and "software" not in caught.value.found
    other = replace(dataset, recipe=replace(dataset.recipe, code="sha256:0", software={"polars": "1"}))
    with pytest.raises(PlatformError, match=r"its code is .*the software is"):
        reproduce(home, PROJECT, PROJECT.models[0], other, tmp_path)


def test_a_correction_of_real_flights(home: Home, use_home: Callable, tmp_path: Path) -> None:
    use_home(home.path)
    land(home, FLIGHTS, "2013-03")
    until_dataset(home, FLIGHTS)
    refs, station = Refs(home), "flights/flight_delay/dataset"
    old = refs.read(station).manifest
    weather, delays = refs.read("flights/features/origin_weather").manifest, refs.read("flights/features/origin_delays")
    # Not the last evening: in UTC it is March.
    later = (pl.col("arr_delay") + 1, pl.col("dep_delay") + 1)
    count = correct(home, "flights", "2013-02", *later, rows=pl.col("day") < 28)
    until_dataset(home, FLIGHTS)
    refused = refs.read("flights/raw/flights").manifest.content["quarantined"]
    new = refs.read(station).manifest
    tables = [t.name for t in FLIGHTS.feature_tables if t.source == "flights"]
    assert count > 20_000 and refused < count / 10 and len(tables) == 5
    for name in tables:
        measured = refs.read(f"flights/features/{name}").manifest
        story = refs.story(f"flights/features/{name}")
        assert story is not None and not story.last.hit, name
        assert measured.delta.partitions.keys() == delays.manifest.delta.partitions.keys()
    # Three days of lookback: March's first rows see February's last flights.
    recipes = DeltaDoor(home.feature_table("flights", "origin_delays")).metadata("mlops.recipes")
    assert {m for m in recipes[-1] if recipes[-1][m] != recipes[0][m]} == {"2013-02", "2013-03"}
    assert refs.read("flights/features/origin_weather").manifest == weather
    # Corrected labels are known only now: February is learned from by the labels that were known in time.
    assert new.digest != old.digest and new.content["purged"] == old.content["purged"]
    assert 0 < new.content["earlier_labels"] < count and old.content["earlier_labels"] == 0
    assert new.files == old.files
    for name, manifest in (("old", old), ("new", new)):
        told = again(home, FLIGHTS, manifest, tmp_path / name)
        assert told.differing == () and told.files == manifest.files, name
