"""Files are chosen by their statistics, and what is read is what a scan of the table gives."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_platform.point_in_time import ViewFrame, join_as_of
from mlops_platform.provenance.feature_rows import newest_of
from mlops_platform.resources.delta import PARTITION, DeltaDoor
from mlops_platform.resources.delta_files import TableFiles

START = datetime(2024, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 6).map(lambda hours: START + timedelta(hours=hours, microseconds=7))


def written(folder: Path, days: int = 4) -> DeltaDoor:
    """A table of one file a day, ids ascending."""
    door = DeltaDoor(folder / "table")
    for day in range(days):
        at = START + timedelta(days=day, microseconds=999)
        rows = pl.DataFrame(
            {"id": [f"o-{day}-{n:03}" for n in range(20)], "at": [at] * 20, PARTITION: f"2024-01-0{day + 1}"}
        )
        door.append(rows.with_columns(pl.col("at").dt.cast_time_unit("us")))
    return door


def test_one_row_is_read_from_the_one_file_that_may_hold_it(tmp_path: Path) -> None:
    files = TableFiles.at(written(tmp_path).path)
    bounds = {"id": ("o-2-007", "o-2-007")}
    assert (files.files.height, files.holding(bounds).height) == (4, 1)
    found = files.scan(bounds).collect()
    assert found.rows() == [("o-2-007", START + timedelta(days=2, microseconds=999), "2024-01-03")]


def test_statistics_of_times_are_cut_and_lose_no_row(tmp_path: Path) -> None:
    files = TableFiles.at(written(tmp_path).path)
    at = START + timedelta(days=1, microseconds=999)
    assert files.scan({"at": (at, at)}).collect().height == 20
    assert files.scan({"at": (at + timedelta(microseconds=1), None)}).collect().height == 40
    assert files.scan({"at": (None, START)}).collect().is_empty()


def test_all_rows_are_those_of_a_scan_at_every_version(tmp_path: Path) -> None:
    door = written(tmp_path)
    for version in range(4):
        found, wanted = TableFiles.at(door.path, version).scan({}).collect(), door.scan(version).collect()
        assert found.schema == wanted.schema
        assert found.sort("id").equals(wanted.sort("id"))


def test_a_commit_is_seen_at_once_and_a_table_made_anew_is_told_from_the_old_one(tmp_path: Path) -> None:
    door = written(tmp_path, days=2)
    assert TableFiles.at(door.path).version == 1
    door.append(door.scan().head(1).collect())
    assert TableFiles.at(door.path).scan({}).collect().height == 41
    shutil.rmtree(door.path)
    again = written(tmp_path, days=1)
    assert TableFiles.at(again.path).scan({}).collect().height == 20
    assert TableFiles.at(again.path, 0).version == 0


def test_a_column_that_older_files_lack_is_null_there(tmp_path: Path) -> None:
    from deltalake import write_deltalake

    door = written(tmp_path, days=2)
    wider = door.scan().head(1).collect().with_columns(id=pl.lit("o-9"), mode=pl.lit("online"))
    write_deltalake(str(door.path), wider, mode="append", partition_by=[PARTITION], schema_mode="merge")
    found = TableFiles.at(door.path).scan({}).collect()
    assert found["mode"].null_count() == 40
    assert found.filter(id="o-9")["mode"].to_list() == ["online"]


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(st.tuples(MOMENTS, st.none() | MOMENTS), max_size=8), at=MOMENTS)
def test_the_row_chosen_is_the_one_that_the_join_gives(
    rows: list[tuple[datetime, datetime | None]], at: datetime
) -> None:
    time = pl.Datetime("us", "UTC")
    schema = {"event_timestamp": time, "known_timestamp": time}
    frame = pl.DataFrame(rows, schema=schema, orient="row").with_columns(key=pl.lit("a"), place=pl.int_range(pl.len()))
    view = ViewFrame(name="v", frame=frame.lazy(), keys={"key": "key"}, features={"place": "place"},
                     event_timestamp="event_timestamp", known_timestamp="known_timestamp")  # fmt: skip
    asked = pl.LazyFrame({"key": ["a"], "event_timestamp": [at]}, schema_overrides={"event_timestamp": time})
    wanted = join_as_of(asked, [view], event_timestamp="event_timestamp").collect()["place"][0]
    known = pl.col("known_timestamp")
    found = newest_of(frame.filter(pl.col("event_timestamp") <= at, (known <= at) | known.is_null()))
    assert (found["place"] if found else None) == wanted
