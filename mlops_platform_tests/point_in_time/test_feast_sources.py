"""Tables of every shape that a FileSource may point to, read through the store's own reader."""

import base64
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable
from feast import FileSource, PushSource
from feast.data_format import DeltaFormat

from mlops_platform.point_in_time import PointInTimeError
from mlops_platform.point_in_time.feast_sources import OpenedTable, TableReader, location_of
from mlops_platform.point_in_time.feast_store import PolarsOfflineStore

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


def deletion_vector(place: int) -> dict[str, Any]:
    """A deletion vector that lies in the log itself and hides one row of a file, as other writers of Delta make it."""
    bitmap = struct.pack("<IQIIIHHIH", 1681511377, 1, 0, 12346, 1, 0, 0, 16, place)
    letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    python = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
    text = base64.b85encode(bitmap + bytes(-len(bitmap) % 4)).decode().translate(str.maketrans(python, letters))
    return {"storageType": "i", "pathOrInlineDv": text, "sizeInBytes": len(bitmap), "cardinality": 1}


def test_rows_behind_a_deletion_vector_are_gone(tmp_path: Path) -> None:
    table, property_ = tmp_path / "table", {"configuration": {"delta.enableDeletionVectors": "true"}}
    for part in (ROWS, ROWS.with_columns(k=pl.col("k") + 3)):
        part.write_delta(table, mode="append", delta_write_options=property_)
    actions = map(json.loads, (table / "_delta_log/00000000000000000000.json").read_text().splitlines())
    (add,) = (action["add"] for action in actions if "add" in action)
    removed = {"path": add["path"], "deletionTimestamp": add["modificationTime"], "dataChange": True}
    commit = [{"remove": removed}, {"add": {**add, "deletionVector": deletion_vector(1)}}]
    (table / "_delta_log/00000000000000000002.json").write_text("\n".join(map(json.dumps, commit)))
    frame = opened(tmp_path).frame
    assert frame.collect()["k"].to_list() == [1, 3, 4, 5, 6]
    assert frame.filter(pl.col("k") >= 2).collect()["k"].to_list() == [3, 4, 5, 6]
    assert frame.select(pl.len()).collect().item() == 5
    assert opened(tmp_path, pins={"table": 1}).frame.collect()["k"].to_list() == [1, 2, 3, 4, 5, 6]


def test_file_uri_is_a_path(tmp_path: Path) -> None:
    assert location_of(f"file://{tmp_path}/a%20b", "/elsewhere") == f"{tmp_path}/a b"
    assert location_of("s3://bucket/a", "/elsewhere") == "s3://bucket/a"
    assert location_of("a/b", tmp_path) == f"{tmp_path}/a/b"


@pytest.mark.parametrize(
    ("path", "changes", "text"),
    [
        ("data/stats", {}, None),
        ("data/stats.parquet", {}, None),
        ("data/none", {}, "no Delta table at"),
        ("data/none.parquet", {}, "no file or folder"),
        ("data/stats", {"timestamp_field": "when"}, "source 'stats_source': no column 'when'; found driver_id"),
        ("data/stats", {"created_timestamp_column": "trips"}, "the time column 'trips' is of type Int64"),
    ],
)
def test_sources_are_validated(
    open_store: Callable[..., Any], stats: Callable[..., Any], path: str, changes: dict[str, str], text: str | None
) -> None:
    config, source = open_store().config, stats(path).batch_source
    for name, value in changes.items():
        setattr(source, name, value)
    if text is None:
        PolarsOfflineStore().validate_data_source(config, source)
    else:
        with pytest.raises(PointInTimeError, match=text):
            PolarsOfflineStore().validate_data_source(config, source)


def test_a_source_that_the_store_cannot_read_is_invalid(open_store: Callable[..., Any]) -> None:
    pushed = PushSource(name="pushed", batch_source=FileSource(path="data/stats", timestamp_field="event"))
    with pytest.raises(PointInTimeError, match="source 'pushed': its batch source is PushSource"):
        PolarsOfflineStore().validate_data_source(open_store().config, pushed)
