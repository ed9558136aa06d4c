"""A dataset takes what still holds from the one before, and is the very dataset that a full build gives."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from mlops_platform.datasets.reuse import ALWAYS, Earlier, earlier_features, unchanged_until
from mlops_platform.manifest import Manifest, Recipe
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform_tests.lineage.pumps.project import PROJECT
from mlops_platform_tests.lineage.run import failures, land, materialize, red_checks

DATASET = "pumps/pump_repair/dataset"
UPSTREAM = f'+key:"{DATASET}"'


X, XY, ZY = {"2024-01": "x"}, {"2024-01": "x", "2024-02": "y"}, {"2024-01": "z", "2024-02": "y"}


def month(number: int) -> datetime:
    return datetime(2024, number, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("old", "new", "until"),
    [
        ({"a": X}, {"a": X}, ALWAYS),
        ({"a": X}, {"a": XY}, month(2)),
        # A correction that was ingested late into an old month.
        ({"a": XY}, {"a": ZY}, month(1)),
        # Of several tables the first month that differs in any.
        ({"a": {"2024-03": "x"}, "b": X}, {"a": {"2024-03": "y"}, "b": XY}, month(2)),
        # A month that is gone differs.
        ({"a": XY}, {"a": {"2024-02": "y"}}, month(1)),
        ({"a": {"all": "x"}, "b": X}, {"a": {"all": "x"}, "b": XY}, month(2)),
        ({"a": {"all": "x"}}, {"a": {"all": "y"}}, None),
        ({"a": {"all": "x"}}, {"a": X}, None),
        ({"a": X}, {"b": X}, None),
        ({"a": X}, {"a": X, "b": X}, None),
    ],
)
def test_unchanged_until(old: dict, new: dict, until: datetime | None) -> None:
    assert unchanged_until(old, new) == until


def made(home: Home, *, landed: str | None = None) -> Manifest:
    """The dataset of what is landed, made through its station."""
    if landed:
        land(home, PROJECT, landed)
    result = materialize(home, PROJECT, UPSTREAM)
    assert result.success, failures(result)
    return Refs(home).read(DATASET).manifest


def counts(manifest: Manifest) -> tuple[int, int]:
    measured = manifest.produced.measured
    return measured["joined"], measured["reused"]


@pytest.mark.long
def test_months_one_by_one_give_the_dataset_of_all_at_once(tmp_path: Path, use_home: Callable) -> None:
    grown = use_home(tmp_path / "grown")
    first, second, third = (made(grown, landed=month) for month in ("2024-03", "2024-04", "2024-05"))
    whole = made(use_home(tmp_path / "whole"), landed="2024-05")
    assert (third.digest, third.files) == (whole.digest, whole.files)
    assert third.recipe.inputs == whole.recipe.inputs
    assert counts(first)[1] == 0 and counts(whole) == (280, 0)
    # What the split left out was never kept: a day between the parts, and what was not labelled in time.
    assert 0 < counts(second)[1] <= first.content["rows"]
    assert 0 < counts(third)[1] <= second.content["rows"] and sum(counts(third)) == 280
    assert whole.content["known_time"] == {"pump_state": "respect"}


@pytest.mark.long
def test_a_late_correction_is_joined_again_from_its_month_on(pumps_copy: Home, use_home: Callable) -> None:
    use_home(pumps_copy.path)
    before = Refs(pumps_copy).read(DATASET)
    path = pumps_copy.landing / "readings" / "readings-2024-04.parquet"
    wrong = pl.read_parquet(path).tail(4)
    wrong.with_columns(pl.col("temperature") + 1).write_parquet(path.with_name("corrected.parquet"))
    one_more_inspection(pumps_copy)
    in_march = pl.col("event_timestamp") < month(4)
    parts = [pl.scan_parquet(before.file(f"{part}.parquet")) for part in ("train", "validation", "holdout")]
    march = pl.concat(parts).filter(in_march).collect().height
    assert march > 0 and counts(made(pumps_copy)) == (281 - march, march)


def one_more_inspection(home: Home) -> None:
    """An example of a pump without readings."""
    path = home.landing / "inspections" / "inspections-2024-04.parquet"
    pl.read_parquet(path).head(1).with_columns(pump=pl.lit("P9")).write_parquet(path.with_name("new-pump.parquet"))


@pytest.mark.long
def test_equal_tables_answer_every_earlier_row_as_before(pumps_copy: Home, use_home: Callable) -> None:
    use_home(pumps_copy.path)
    kept = Refs(pumps_copy).read(DATASET).manifest.content["rows"]
    one_more_inspection(pumps_copy)
    assert counts(made(pumps_copy)) == (281 - kept, kept)


def asked(home: Home, recipe: Recipe, features: Manifest) -> Earlier:
    """What of the last dataset holds for a dataset of that recipe."""
    return earlier_features(home, PROJECT, PROJECT.models[0], recipe, {"pump_state": features})


@pytest.mark.long
@pytest.mark.parametrize("victim", ["dataset/train.parquet", "dataset/manifest.json", "features/manifest.json"])
def test_what_cannot_be_read_is_joined_again(victim: str, pumps_copy: Home) -> None:
    last, table = (Refs(pumps_copy).read(station) for station in (DATASET, "pumps/features/pump_state"))
    whole = asked(pumps_copy, last.manifest.recipe, table.manifest)
    assert whole.rows is not None and whole.rows.height == last.manifest.content["rows"]
    room, name = victim.split("/")
    path = {"dataset": last.folder, "features": table.folder}[room] / name
    path.write_bytes(path.read_bytes()[:-10])
    damaged = asked(pumps_copy, last.manifest.recipe, table.manifest)
    assert damaged.rows is None and "cannot be read" in damaged.said
    path.unlink()
    assert asked(pumps_copy, last.manifest.recipe, table.manifest).rows is None


@pytest.mark.long
@pytest.mark.parametrize("field", ["code", "config", "software", "inputs"])
def test_another_recipe_joins_everything(field: str, pumps_home: Path) -> None:
    home = Home(pumps_home)
    recipe = Refs(home).read(DATASET).manifest.recipe
    other = "sha256:0" if field == "code" else {**getattr(recipe, field), "registry": "sha256:0"}
    features = Refs(home).read("pumps/features/pump_state").manifest
    found = asked(home, replace(recipe, **{field: other}), features)
    assert found.rows is None and found.said == f"the dataset before had other {field}"
    first = asked(home, replace(recipe, station="pumps/new/dataset"), features)
    assert first.rows is None and "no dataset before" in first.said


@pytest.mark.long
def test_ignoring_known_time_is_told_joined_anew_and_stopped(
    pumps_copy: Home, use_home: Callable, tmp_path: Path
) -> None:
    use_home(pumps_copy.path)
    repo = tmp_path / "repo"
    shutil.copytree(PROJECT.feature_repo, repo)
    settings = repo / "feature_store.yaml"
    settings.write_text(settings.read_text().replace("PolarsOfflineStore", "PolarsOfflineStore\n  known_time: ignore"))
    result = materialize(pumps_copy, replace(PROJECT, feature_repo=repo), UPSTREAM)
    dataset = Refs(pumps_copy).read(DATASET).manifest
    (leak,) = red_checks(result).values()
    assert not result.success and set(leak["leaking_columns"]) == {"pump_state__temperature", "pump_state__vibration"}
    assert leak["leaking_rows"]["pump_state__temperature"]["perturbation"] == "correct"
    assert dataset.content["known_time"] == {"pump_state": "ignore"} and counts(dataset) == (280, 0)
