"""What follows a change by itself: stations whose inputs' content changed, in one run, and no others."""

from collections.abc import Callable, Iterator

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from mlops_platform.lineage import build_definitions
from mlops_platform.resources.home import Home
from mlops_platform_tests.lineage.pumps.project import PROJECT
from mlops_platform_tests.lineage.pumps.variants import trained
from mlops_platform_tests.lineage.run import materialize

pytestmark = pytest.mark.long

RAW = ("raw/readings", "raw/inspections", "raw/plan")


class Automation:
    """The automation conditions of the pumps on one home, evaluated as the daemon does."""

    def __init__(self, home: Home, instance: dg.DagsterInstance) -> None:
        self.home, self.instance = home, instance
        self.definitions = build_definitions(PROJECT)
        self.cursor = None
        self.requested()

    def requested(self) -> set[str]:
        """Stations asked for by the next tick, without the project's name."""
        result = dg.evaluate_automation_conditions(self.definitions, self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        return {
            key.to_user_string().removeprefix("pumps/").replace("pump_repair/", "")
            for key in self.definitions.resolve_asset_graph().materializable_asset_keys
            if result.get_num_requested(key)
        }

    def materialize(self, *stations: str) -> None:
        selection = " or ".join(f'key:"pumps/{station}"' for station in stations)
        assert materialize(self.home, PROJECT, selection).success

    def find(self, check: str, *, passed: bool) -> None:
        """A finding of a blocking check on the feature table."""
        key = dg.AssetKey(["pumps", "features", "pump_state"])
        (record,) = self.instance.get_asset_records([key])
        event, place = record.asset_entry.last_materialization, record.asset_entry.last_materialization_storage_id
        assert event is not None and place is not None
        seen = AssetCheckEvaluationTargetMaterializationData(storage_id=place, run_id=event.run_id,
                                                             timestamp=event.timestamp)  # fmt: skip
        found = dg.AssetCheckEvaluation(asset_key=key, check_name=check, passed=passed, metadata={}, blocking=True,
                                        severity=dg.AssetCheckSeverity.ERROR,
                                        target_materialization_data=seen)  # fmt: skip
        self.instance.report_runless_asset_event(found)


@pytest.fixture
def automation(pumps_copy: Home, use_home: Callable) -> Iterator[Automation]:
    use_home(pumps_copy.path)
    with dg.DagsterInstance.get() as instance:
        yield Automation(pumps_copy, instance)


def corrected(home: Home) -> None:
    """A correction of two readings lands."""
    import polars as pl

    folder = home.landing / "readings"
    rows = pl.read_parquet(sorted(folder.glob("*.parquet"))[-1]).head(2)
    rows.with_columns(temperature=pl.col("temperature") + 1).write_parquet(folder / "correction.parquet")


def test_where_nothing_changed_nothing_is_asked(automation: Automation) -> None:
    assert automation.requested() == set()
    automation.materialize(*RAW)
    assert automation.requested() == set(), "made again with equal bytes"


def test_changed_rows_ask_for_all_that_follows_them_but_training(automation: Automation) -> None:
    corrected(automation.home)
    automation.materialize("raw/readings")
    asked = automation.requested()
    assert asked == {"features/pump_state", "feast/online", "dataset", "predictions", "monitoring", "retrain_decision"}
    assert automation.requested() == set(), "asked once"


def test_what_the_same_run_has_made_is_not_asked_for_again(automation: Automation) -> None:
    corrected(automation.home)
    assert materialize(automation.home, PROJECT, 'key:"pumps/raw/readings"+').success
    assert automation.requested() == set()


def test_a_new_checkpoint_asks_for_its_verdict_and_what_follows(automation: Automation) -> None:
    assert materialize(automation.home, trained(2), 'key:"pumps/pump_repair/checkpoint"').success
    asked = automation.requested()
    assert {"evaluation", "gate", "skew", "registered_model", "champion", "predictions"} <= asked
    assert not asked & {"dataset", "checkpoint", *RAW}


def test_a_new_dataset_asks_for_no_verdict_on_the_old_checkpoint(automation: Automation) -> None:
    corrected(automation.home)
    assert materialize(automation.home, PROJECT, '+key:"pumps/pump_repair/dataset"').success
    assert not automation.requested() & {"evaluation", "gate", "skew", "registered_model", "champion", "checkpoint"}


def test_a_red_blocking_check_holds_back_what_follows(automation: Automation, monkeypatch: pytest.MonkeyPatch) -> None:
    corrected(automation.home)
    automation.materialize("raw/readings")
    assert "features/pump_state" in automation.requested() and automation.requested() == set()
    # As if the run that was asked for had come no further.
    automation.materialize("features/pump_state")
    automation.find("times_are_sound", passed=False)
    assert automation.requested() == set()
    automation.find("times_are_sound", passed=True)
    assert {"dataset", "feast/online"} <= automation.requested()
