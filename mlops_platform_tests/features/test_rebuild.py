"""A rebuild that is asked for: equal months are not written and move nothing, different ones are said and move on."""

from collections.abc import Callable
from dataclasses import replace

import dagster as dg
import pytest

from mlops_platform.errors import PlatformError
from mlops_platform.features.rebuild import months_asked
from mlops_platform.lineage import build_definitions
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.station import Progress
from mlops_platform.spec import Project
from mlops_platform_tests.features.random_source import UNSTEADY
from mlops_platform_tests.lineage.pumps.project import PROJECT, PUMP_STATE
from mlops_platform_tests.lineage.run import materialize

TABLE = "pumps/features/pump_state"
MONTHS = ["2024-03", "2024-04", "2024-05", "2024-06"]


def rebuild(project: Project, first: str, last: str, selection: str = f'key:"{TABLE}"') -> dg.ExecuteInProcessResult:
    """What a run with this configuration, given in the UI, does."""
    defs = build_definitions(project)
    keys = dg.AssetSelection.from_string(selection).resolve(defs.resolve_asset_graph())
    config = {"ops": {TABLE.replace("/", "__"): {"config": {"rebuild_from": first, "rebuild_to": last}}}}
    with dg.DagsterInstance.get() as instance:
        job = defs.resolve_job_def("pumps_everything")
        return job.execute_in_process(instance=instance, asset_selection=list(keys), run_config=config)


def shown(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    (event,) = result.asset_materializations_for_node(TABLE.replace("/", "__"))
    return {name: found.value for name, found in event.metadata.items()}


@pytest.mark.parametrize(
    ("first", "last", "months"),
    [
        ("", "", []),
        ("2024-04", "2024-05", ["2024-04", "2024-05"]),
        ("2024-05", "", ["2024-05", "2024-06"]),
        ("", "2024-03", ["2024-03"]),
    ],
)
def test_the_months_from_one_to_another(first: str, last: str, months: list[str]) -> None:
    assert list(months_asked(PUMP_STATE, MONTHS, first, last)) == months


def test_a_table_in_one_piece_is_rebuilt_as_one() -> None:
    whole = replace(PUMP_STATE, partition="whole")
    assert months_asked(whole, ["all"], "all", "all") == ("all",) == months_asked(whole, ["all"], "all", "")
    with pytest.raises(PlatformError, match="leave the months out"):
        months_asked(whole, ["all"], "2024-03", "2024-04")


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        ("2024-3", "2024-05", "in months, YYYY-MM"),
        ("2024-13", "", "in months, YYYY-MM"),
        ("all", "all", "in months, YYYY-MM"),
        ("2024-05", "2024-04", "begin before it ends"),
        ("2024-02", "2024-04", "which has 2024-03 to 2024-06"),
        ("2024-04", "2031-01", "which has 2024-03 to 2024-06"),
    ],
)
def test_a_range_that_cannot_be_is_refused(first: str, last: str, said: str) -> None:
    with pytest.raises(PlatformError, match=said) as caught:
        months_asked(PUMP_STATE, MONTHS, first, last)
    assert "mlops rebuild pump_state --from 2024-03 --to 2024-06" in caught.value.remedy


@pytest.mark.long
def test_equal_months_commit_nothing_and_move_nothing(
    pumps_copy: Home, use_home: Callable, listening: list[Progress]
) -> None:
    use_home(pumps_copy.path)
    door, refs = DeltaDoor(pumps_copy.feature_table("pumps", "pump_state")), Refs(pumps_copy)
    version, before = door.version, refs.read(TABLE).manifest
    result = rebuild(PROJECT, "2024-03", "2024-05", "*")
    assert {p.station for p in listening if p.seconds is not None and not p.hit and not p.skipped} == {TABLE}
    told = shown(result)
    assert told["rebuilt"] == "rebuilt 3 months, equal bytes" and told["memo"] == "made"
    assert told["rebuilt_months"] == ["2024-03", "2024-04", "2024-05"] and "different_months" not in told
    assert door.version == version and refs.read(TABLE).manifest == before
    story = refs.story(TABLE)
    assert story is not None and story.made is not None
    assert story.made.because == "a rebuild of 2024-03 to 2024-05 was asked for"


@pytest.mark.long
def test_a_month_that_differs_is_a_new_version_said_loudly_and_moves_on(
    pumps_copy: Home, use_home: Callable, listening: list[Progress]
) -> None:
    use_home(pumps_copy.path)
    materialize(pumps_copy, UNSTEADY, f'key:"{TABLE}"')
    door, refs = DeltaDoor(pumps_copy.feature_table("pumps", "pump_state")), Refs(pumps_copy)
    version, before = door.version, refs.read(TABLE).manifest
    assert materialize(pumps_copy, UNSTEADY).success
    listening.clear()
    result = rebuild(UNSTEADY, "2024-03", "2024-05", "*")
    told, now = shown(result), refs.read(TABLE).manifest
    assert told["rebuilt"] == "rebuilt 3 months, different bytes: 2024-04" and told["different_months"] == ["2024-04"]
    assert door.version == version + 1 and now.digest != before.digest and now.delta.version == version + 1
    assert now.produced.measured["computed"] == ["2024-03", "2024-04", "2024-05"]
    same = {month for month in before.delta.partitions if before.delta.partitions[month] == now.delta.partitions[month]}
    assert same == {"2024-03", "2024-05", "2024-06"}
    worked = {p.station for p in listening if p.seconds is not None and not p.hit and not p.skipped}
    assert {TABLE, "pumps/feast/online", "pumps/pump_repair/dataset"} <= worked
    # The old rows are still there, at the old version.
    assert not door.scan(version).collect().equals(door.scan().collect())
