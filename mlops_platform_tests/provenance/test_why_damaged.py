"""A data file of a table that is gone, cut off or not what it was: a clear error, and never a 500."""

from pathlib import Path

import polars as pl
import pytest

from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform_tests.provenance.conftest import Client, answer, feature_row

CUT = 40


def damage(folder: Path, how: str) -> None:
    for file in folder.glob("_partition=*/*.parquet"):
        data = file.read_bytes()
        changed = {"cut": data[:-CUT], "empty": b"", "overwritten": data[:-CUT] + bytes(CUT)}
        file.unlink() if how == "removed" else file.write_bytes(changed[how])


@pytest.mark.parametrize("mode", ["online", "batch"])
@pytest.mark.parametrize("table", ["features", "raw", "log"])
def test_each_damage_is_told_with_the_file_it_is_in(live: Home, client: Client, mode: str, table: str) -> None:
    logged = live.prediction_log("pumps", "pump_repair")
    asked: str = answer(live, 1, feature_row(live)) if mode == "online" else (
        DeltaDoor(logged).scan().filter(pl.col("mode") == "batch").collect()["prediction_id"][0]
    )  # fmt: skip
    folder = {"features": live.feature_table("pumps", "pump_state"), "raw": live.raw_table("pumps", "readings"),
              "log": logged}[table]  # fmt: skip
    assert client.get(f"/v1/predictions/{asked}/why").status_code == 200
    for how, status, found in (("overwritten", 503, "PAR1"), ("cut", 503, "bytes"), ("empty", 503, "0 bytes"),
                               ("removed", 410, "no such file")):  # fmt: skip
        damage(folder, how)
        told = client.get(f"/v1/predictions/{asked}/why")
        body = told.json()
        assert told.status_code == status and found in body["found"], (how, body)
        assert "_partition=" in body["required"] and str(live.root) not in told.text
        assert client.get(f"/v1/predictions/{asked}").status_code == status
