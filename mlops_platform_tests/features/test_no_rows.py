"""Where there are no rows, say because all that landed is in quarantine, it is said what is missing and where."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from mlops_platform.errors import PlatformError
from mlops_platform.features.compute import compute_table
from mlops_platform.features.online import bring_online
from mlops_platform.features.rebuild import months_asked
from mlops_platform.resources.delta import PARTITION, POLARS_TYPES, DeltaDoor
from mlops_platform.resources.feast import FeastDoor
from mlops_platform.resources.home import Home
from mlops_platform_tests.lineage.pumps.functions import pump_state
from mlops_platform_tests.lineage.pumps.project import PROJECT, PUMP_STATE
from mlops_platform_tests.lineage.run import failures, land, materialize


def test_a_first_file_that_is_whole_in_quarantine(home: Home) -> None:
    land(home, PROJECT, "2024-03")
    (file,) = (home.landing / "readings").glob("*.parquet")
    file.write_bytes(file.read_bytes()[:500])
    told = failures(materialize(home, PROJECT, '+key:"pumps/features/pump_state"'))
    assert list(told) == ["pumps__features__pump_state"]
    assert "rows in raw table readings" in str(told) and "all that landed is in quarantine" in str(told)


@pytest.mark.parametrize("partition", ["month", "whole"])
def test_a_table_of_no_raw_rows_is_not_computed(tmp_path: Path, partition: str) -> None:
    door, table = DeltaDoor(tmp_path / "t"), replace(PUMP_STATE, partition=partition)
    with pytest.raises(PlatformError, match="rows in raw table readings"):
        compute_table(table, pump_state, pl.LazyFrame(), {}, "c", door)
    assert not door.exists


def test_a_table_of_no_months_is_not_rebuilt() -> None:
    assert months_asked(PUMP_STATE, [], "", "") == ()
    with pytest.raises(PlatformError, match="rows in raw table readings"):
        months_asked(PUMP_STATE, [], "2024-03", "")


def test_a_table_of_no_rows_is_not_brought_online(home: Home) -> None:
    door, time = DeltaDoor(home.feature_table("pumps", "pump_state")), POLARS_TYPES["timestamp"]
    nothing = pl.DataFrame(schema={"pump": pl.String, "event_timestamp": time, PARTITION: pl.String})
    door.append(nothing, digests={})
    with pytest.raises(PlatformError, match="rows in feature table pump_state"):
        bring_online(FeastDoor(home, PROJECT), {"pump_state": door.ref(home)}, {})
