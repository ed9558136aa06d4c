"""``mlops gc`` as a person and as a program see it."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from mlops_platform.resources.home import Home
from mlops_platform.resources.locks import RUNS, shared
from mlops_platform.resources.reachability import stored
from mlops_platform_tests.cli.conftest import Outcome
from mlops_platform_tests.lineage.pumps.project import PROJECT
from mlops_platform_tests.lineage.run import materialize


@pytest.fixture
def with_garbage(pumps_copy: Home, use_home: Callable[[Path], Home]) -> Home:
    """Two further versions of the readings and their features; nothing cites the first of them."""
    use_home(pumps_copy.path)
    readings = pumps_copy.landing / "readings" / "readings-2024-05.parquet"
    for number in (1, 2):
        new = pl.read_parquet(readings).head(1).with_columns(pump=pl.lit(f"N{number}"))
        new.write_parquet(readings.with_name(f"new-{number}.parquet"))
        assert materialize(pumps_copy, PROJECT, '+key:"pumps/features/pump_state"').success
    return pumps_copy


@pytest.mark.long
def test_it_tells_asks_and_frees(with_garbage: Home, mlops: Callable[..., Outcome]) -> None:
    before = set(stored(with_garbage))
    kept = mlops("gc", "--dry-run")
    assert kept.code == 0 and "nothing to remove: all that is there is reached" in kept.out
    told = json.loads(mlops("gc", "--dry-run", "--keep-days", "0", "--json").out)
    assert not told["removed"] and told["kinds"]["features"]["count"] == told["kinds"]["raw"]["count"] == 1
    assert told["bytes"] > 0 and told["kept"]["checkpoint"] == 1 and told["kinds"]["table data"]["bytes"] > 0
    table = mlops("gc", "--dry-run", "--keep-days", "0").out
    assert "would go" in table and "features" in table and "would be freed" in table
    refused = mlops("gc", "--keep-days", "0")
    assert refused.code == 2 and "--yes" in refused.err and set(stored(with_garbage)) == before
    with shared(with_garbage, RUNS):
        busy = mlops("gc", "--keep-days", "0", "--yes", "--wait", "0")
    assert busy.code == 2 and "no run to be at work" in busy.err and set(stored(with_garbage)) == before
    done = json.loads(mlops("gc", "--keep-days", "0", "--yes", "--json").out)
    assert done == {**told, "removed": True} and len(stored(with_garbage)) == len(before) - 2
    assert "nothing to remove" in mlops("gc", "--keep-days", "0", "--yes").out


def test_an_empty_home_has_no_garbage(home: Home, mlops: Callable[..., Outcome]) -> None:
    assert "nothing to remove" in mlops("gc", "--yes").out and not (home.mlflow / "mlflow.db").exists()


def test_more_days_than_a_calendar_has_are_refused(home: Home, mlops: Callable[..., Outcome]) -> None:
    ended = mlops("gc", "--yes", "--keep-days", "1000000")
    assert ended.code == 2 and "--keep-days" in ended.err and "36500" in ended.err
    assert "nothing to remove" in mlops("gc", "--yes", "--keep-days", "36500").out
