"""``mlops materialize`` launches nothing where everything stands, and does where anything is missing."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from mlops_platform.cli.execution import Graph
from mlops_platform.cli.pruning import standing_run
from mlops_platform.cli.status import last_runs
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform_tests.cli.conftest import Outcome
from mlops_platform_tests.lineage.pumps.project import PROJECT

Use = Callable[[Path], Home]
RAW = 'key:"pumps/raw/readings"'


def pruned(home: Home, selection: str = RAW) -> bool:
    graph = Graph.load(PROJECT)
    return standing_run(graph, home, graph.select(selection)) is not None


def test_nothing_is_launched_where_everything_stands(
    pumps_home: Path, use_home: Use, mlops: Callable[..., Outcome]
) -> None:
    home = use_home(pumps_home)
    before = last_runs(home, 10)
    ended = mlops("materialize")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[-1].startswith("nothing to do: 16 stations stand; 54 checks, ")
    assert mlops("materialize", "--select", RAW).out.startswith("nothing to do: 1 station stands; ")
    assert last_runs(home, 10) == before


def test_an_empty_home_is_launched(home: Home, use_home: Use) -> None:
    use_home(home.path)
    assert not pruned(home)


@pytest.mark.parametrize("table", ["asset_check_executions", "asset_keys"])
def test_what_dagster_has_no_record_of_is_launched(pumps_copy: Home, use_home: Use, table: str) -> None:
    use_home(pumps_copy.path)
    assert pruned(pumps_copy)
    with sqlite3.connect(pumps_copy.path / "history" / "runs" / "index.db") as database:
        database.execute(f"DELETE FROM {table} WHERE asset_key LIKE '%readings%'")
    assert not pruned(pumps_copy)
    assert pruned(pumps_copy, 'key:"pumps/raw/plan"')


def test_a_check_older_than_the_materialization_is_launched(pumps_copy: Home, use_home: Use) -> None:
    use_home(pumps_copy.path)
    digest = Refs(pumps_copy).read("pumps/raw/readings").manifest.digest
    with dg.DagsterInstance.get() as instance:
        event = dg.AssetMaterialization(["pumps", "raw", "readings"], tags={"dagster/data_version": digest})
        instance.report_runless_asset_event(event)
    assert not pruned(pumps_copy)


def test_another_version_reported_by_hand_is_launched(pumps_copy: Home, use_home: Use) -> None:
    use_home(pumps_copy.path)
    with dg.DagsterInstance.get() as instance:
        event = dg.AssetMaterialization(["pumps", "raw", "readings"], tags={"dagster/data_version": "mine"})
        instance.report_runless_asset_event(event)
    assert not pruned(pumps_copy)


def test_a_check_that_is_red_is_launched_each_time(pumps_copy: Home, mlops: Callable[..., Outcome]) -> None:
    (pumps_copy.landing / "readings" / "late.parquet").write_bytes(b"no parquet")
    codes = [mlops("materialize", "--quiet", "--select", RAW).code for _ in range(2)]
    assert codes == [3, 3]
