"""Tables of every shape that a FileSource may point to, read through the store's own reader."""

from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from feast import FileSource
from feast.data_format import DeltaFormat

from mlops_platform.point_in_time import PointInTimeError
from mlops_platform.point_in_time.feast_sources import OpenedTable, TableReader

ROWS = pl.DataFrame({"k": [1, 2, 3], "month": [1, 1, 2], "x": ["a", "b", "c"]})


def opened(repo: Path, *, pins: dict[str, int] | None = None) -> OpenedTable:
    source = FileSource(path="table", timestamp_field="event", file_format=DeltaFormat())
    return TableReader(repo, pins or {}).open(source, where="here")


def test_partitioned_delta_table(tmp_path: Path) -> None:
    ROWS.write_delta(tmp_path / "table", delta_write_options={"partition_by": ["month"]})
    frame = opened(tmp_path).frame
    assert frame.collect().sort("k").select(ROWS.columns).equals(ROWS)
    assert frame.filter(pl.col("month") == 2).collect()["k"].to_list() == [3]


def test_delta_table_that_gained_a_column(tmp_path: Path) -> None:
    ROWS.write_delta(tmp_path / "table")
    more = ROWS.with_columns(y=pl.lit(7))
    more.write_delta(tmp_path / "table", mode="append", delta_write_options={"schema_mode": "merge"})
    assert opened(tmp_path).frame.collect()["y"].to_list() == [None] * 3 + [7] * 3
    assert "y" not in opened(tmp_path, pins={"table": 0}).frame.collect().columns


def test_delta_table_without_rows(tmp_path: Path) -> None:
    ROWS.clear().write_delta(tmp_path / "table")
    assert opened(tmp_path).frame.collect().equals(ROWS.clear())


def test_deleted_and_compacted_rows(tmp_path: Path) -> None:
    for part in ROWS.iter_slices(1):
        part.write_delta(tmp_path / "table", mode="append")
    DeltaTable(tmp_path / "table").delete("k = 2")
    table = opened(tmp_path)
    DeltaTable(tmp_path / "table").optimize.compact()
    assert table.frame.collect()["k"].to_list() == [1, 3]
    assert opened(tmp_path).frame.collect()["k"].sort().to_list() == [1, 3]
    assert opened(tmp_path, pins={"table": 2}).frame.collect()["k"].to_list() == [1, 2, 3]


def test_one_version_however_many_views_read_it(tmp_path: Path) -> None:
    ROWS.write_delta(tmp_path / "table")
    reader = TableReader(tmp_path, {})
    source = FileSource(path="table", timestamp_field="event", file_format=DeltaFormat())
    first = reader.open(source, where="first")
    ROWS.write_delta(tmp_path / "table", mode="append")
    assert reader.open(source, where="second").version == first.version == 0


def test_another_kind_of_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PointInTimeError, match=r"here: its batch source is NoneType; .* reads FileSource"):
        TableReader(tmp_path, {}).open(None, where="here")
