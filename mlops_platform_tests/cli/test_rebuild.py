"""``mlops rebuild`` as a person and as a program see it."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform_tests.cli.conftest import Outcome
from mlops_platform_tests.features.random_source import UNSTEADY
from mlops_platform_tests.lineage.pumps.project import PROJECT
from mlops_platform_tests.lineage.run import materialize

TABLE = "pumps/features/pump_state"


@pytest.mark.long
def test_equal_months_are_told_one_by_one(
    mlops: Callable[..., Outcome], pumps_copy: Home, use_home: Callable[[Path], Home]
) -> None:
    use_home(pumps_copy.path)
    before = DeltaDoor(pumps_copy.feature_table("pumps", "pump_state")).version
    ended = mlops("rebuild", "pump_state", "--from", "2024-03", "--to", "2024-05")
    assert ended.code == 0, ended.out + ended.err
    assert [line.split()[0] for line in ended.out.splitlines()[1:4]] == ["2024-03", "2024-04", "2024-05"]
    assert ended.out.count("equal bytes") == 4 and "nothing follows" in ended.out
    found = json.loads(mlops("rebuild", "pump_state", "--json").out)
    assert found["equal"] and [m["rows"] for m in found["months"]] == [124, 120, 36, 0]
    assert DeltaDoor(pumps_copy.feature_table("pumps", "pump_state")).version == before
    assert mlops("materialize").out.startswith("nothing to do")


@pytest.mark.long
def test_different_months_are_loud_and_say_what_moves_the_rest(
    mlops: Callable[..., Outcome], pumps_copy: Home, use_home: Callable[[Path], Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_home(pumps_copy.path)
    materialize(pumps_copy, UNSTEADY, f'key:"{TABLE}"')
    dataset = Refs(pumps_copy).read("pumps/pump_repair/dataset").manifest
    monkeypatch.setenv("MLOPS_PROJECT", "mlops_platform_tests.features.random_source:UNSTEADY")
    out = mlops("rebuild", "pump_state").out
    assert "different bytes: 2024-04" in out and "source of randomness" in out
    assert "mlops materialize --select 'key:\"pumps/features/pump_state\"+'" in out
    assert Refs(pumps_copy).read("pumps/pump_repair/dataset").manifest == dataset
    found = json.loads(mlops("rebuild", "pump_state", "--from", "2024-04", "--to", "2024-04", "--json").out)
    assert not found["equal"] and not found["recipe_changed"]


@pytest.mark.long
def test_months_that_move_though_not_asked_for_are_told(
    mlops: Callable[..., Outcome], pumps_copy: Home, use_home: Callable[[Path], Home]
) -> None:
    use_home(pumps_copy.path)
    for number in (1, 2):
        path = pumps_copy.landing / "readings" / "readings-2024-04.parquet"
        warmer = pl.read_parquet(path).with_columns(pl.col("temperature") + number)
        warmer.write_parquet(path.with_name(f"corrected-{number}.parquet"))
        assert materialize(pumps_copy, PROJECT, 'key:"pumps/raw/readings"').success
        if number == 1:
            out = mlops("rebuild", "pump_state", "--from", "2024-03", "--to", "2024-03").out
    assert "rebuilt 1 month in" in out and "nothing follows" not in out and "no rows were written" not in out
    assert "not asked for, and written too" in out and "changed: 2024-04" in out and "has not moved" in out
    found = json.loads(mlops("rebuild", "pump_state", "--from", "2024-03", "--to", "2024-03", "--json").out)
    told = [(m["month"], m["rows"], m["outcome"], m["asked"]) for m in found["months"]]
    # Each version of a reading has its row.
    assert told == [("2024-03", 124, "equal bytes", True), ("2024-04", 360, "different bytes", False)]
    assert not found["equal"] and found["recipe_changed"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("readings",), "raw tables only ever grow"),
        (("readings",), "mlops rebuild pump_state"),
        (("no_such_table",), "one of: pump_state"),
        (("pump_state",), "to have been materialized"),
    ],
)
def test_what_cannot_be_rebuilt_is_refused(
    mlops: Callable[..., Outcome], home: Home, arguments: tuple, said: str
) -> None:
    ended = mlops("rebuild", *arguments)
    assert ended.code == 2 and said in ended.err


@pytest.mark.long
@pytest.mark.parametrize("months", [("2024-04", "2024-03"), ("2019-01", "2024-03"), ("May", "2024-05")])
def test_a_range_that_cannot_be_launches_nothing(
    mlops: Callable[..., Outcome], pumps_home: Path, use_home: Callable[[Path], Home], months: tuple[str, str]
) -> None:
    use_home(pumps_home)
    ended = mlops("rebuild", "pump_state", "--from", months[0], "--to", months[1])
    assert ended.code == 2 and "mlops rebuild pump_state --from 2024-03 --to 2024-06" in ended.err
