"""Every way of reading a view gives the same answer, and the planner takes the one that fits."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_platform.point_in_time import PointInTimeError, ViewFrame, join_as_of, latest
from mlops_platform.point_in_time.engine import _Join, join_in_parts, plans
from mlops_platform.point_in_time.planning import Plan
from mlops_platform_tests.point_in_time.oracle import cases, oracle

START = datetime(2024, 3, 1, tzinfo=UTC)
PLANS = {
    "one pass": Plan(way="one pass"),
    "one pass, keys pushed": Plan(way="one pass", push_keys=True),
    "two passes": Plan(way="two passes"),
    "two passes, a value at a time": Plan(way="two passes", gather_bytes=1),
    "chunks": Plan(way="chunks", chunk_rows=3, gather_bytes=40),
    "chunks of one row": Plan(way="chunks", chunk_rows=1),
}
FILES: dict[str, Callable[[pl.DataFrame, list[str]], pl.DataFrame]] = {
    "as it comes": lambda rows, _: rows,
    "by key and time": lambda rows, keys: rows.sort(*keys, "event", maintain_order=True),
    "by time": lambda rows, _: rows.sort("event", maintain_order=True),
}


def in_files(view: ViewFrame, folder: Path, sorted_by: str, files: int) -> tuple[ViewFrame, list[dict[str, Any]]]:
    """The view over Parquet files of two rows a row group, and its rows in the order of the files."""
    rows = FILES[sorted_by](view.frame.collect(), list(view.keys))
    size = max(1, -(-rows.height // files))
    for old in folder.glob("*.parquet"):
        old.unlink()
    for number in range(files):
        rows.slice(number * size, size).write_parquet(folder / f"{number}.parquet", row_group_size=2)
    return replace(view, frame=pl.scan_parquet(folder / "*.parquet"), unchanged=lambda: True), rows.to_dicts()


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@given(case=cases(), sorted_by=st.sampled_from(sorted(FILES)), files=st.integers(1, 3))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_plan_gives_the_answer_of_the_oracle(
    tmp_path: Path, plan: Plan, case: Any, sorted_by: str, files: int
) -> None:
    entities, view, asked, _ = case
    stored, facts = in_files(view, tmp_path, sorted_by, files)
    joined = join_as_of(entities.lazy(), [stored], event_timestamp="at", with_times=True, plan=plan).collect()
    assert joined.to_dicts() == oracle(asked, facts, view)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> ViewFrame:
    """400,000 rows of 40,000 keys, in the order of time."""
    path = tmp_path_factory.mktemp("many") / "rows.parquet"
    number = pl.int_range(400_000, eager=True)
    event = pl.lit(START) + pl.duration(seconds=number)
    pl.select(
        k=number * 7919 % 40_000, event=event, known=event + timedelta(hours=1), x=number, y=number.cast(pl.String)
    ).write_parquet(path)
    return ViewFrame(
        name="many", frame=pl.scan_parquet(path), keys={"k": "k"}, features={"x": "x", "y": "y"},
        event_timestamp="event", known_timestamp="known", unchanged=lambda: True,
    )  # fmt: skip


def asking(keys: int) -> pl.LazyFrame:
    return pl.select(k=pl.int_range(keys), at=pl.lit(START) + pl.duration(seconds=300_000)).lazy()


@pytest.mark.parametrize(
    ("keys", "budget", "way", "pushed"),
    [
        (10, 2**34, "one pass", True),
        (40_000, 2**34, "one pass", False),
        (40_000, 1, "chunks", False),
    ],
)
def test_the_planner_takes_what_fits(many: ViewFrame, keys: int, budget: int, way: str, pushed: bool) -> None:
    [plan] = plans(asking(keys), [many], event_timestamp="at", memory_budget=budget)
    assert (plan.way, plan.push_keys) == (way, pushed)
    assert "400,000 rows" in str(plan)


def test_many_wide_rows_are_read_in_two_passes(many: ViewFrame) -> None:
    wide = replace(many, features={"x": "x0"}, frame=many.frame.with_columns(pl.lit("a" * 400).alias("x")))
    [plan] = plans(asking(40_000), [wide], event_timestamp="at", memory_budget=2**34)
    assert plan.way == "two passes"


def test_a_small_budget_gives_the_same_answer(many: ViewFrame) -> None:
    whole = join_as_of(asking(50_000), [many], event_timestamp="at").collect()
    small = join_as_of(asking(50_000), [many], event_timestamp="at", memory_budget=1).collect()
    assert whole["x"].null_count() == 10_000
    assert small.equals(whole)


def test_the_parts_make_the_whole(many: ViewFrame) -> None:
    parts = list(join_in_parts(asking(25_000), [many], event_timestamp="at", memory_budget=1))
    assert [part.height for part in parts] == [10_000, 10_000, 5_000]
    assert pl.concat(parts).equals(join_as_of(asking(25_000), [many], event_timestamp="at").collect())


def test_an_answer_larger_than_the_budget_is_refused_before_anything_is_read(many: ViewFrame) -> None:
    wide = replace(many, features={"x": "x", "y": "y"}, frame=many.frame.with_columns(pl.lit("a" * 4000).alias("y")))
    with pytest.raises(PointInTimeError, match=r"the answer: 40,000 entity rows .* Persist the job"):
        join_as_of(asking(40_000), [wide], event_timestamp="at", memory_budget=1).collect()


@pytest.mark.parametrize(
    "plan", [None, Plan(way="two passes"), Plan(way="chunks")], ids=["chosen", "two passes", "chunks"]
)
def test_rows_written_anew_while_they_are_read_are_an_error(many: ViewFrame, plan: Plan | None) -> None:
    with pytest.raises(PointInTimeError, match="view 'many': its rows were written anew since"):
        join_as_of(
            asking(3), [replace(many, unchanged=iter([True, False]).__next__)], event_timestamp="at", plan=plan
        ).collect()


def test_latest_in_two_passes_equals_latest_in_one(many: ViewFrame) -> None:
    def newest(**options: Any) -> pl.DataFrame:
        return latest(
            many.frame, name="many", keys=["k"], columns=["x", "y"], event_timestamp="event",
            known_timestamp="known", end=START + timedelta(seconds=300_000), **options,
        ).collect()  # fmt: skip

    assert newest().height == 40_000
    assert newest(unchanged=lambda: True).equals(newest())
    assert newest(unchanged=lambda: True, memory_budget=1).equals(newest())


@pytest.mark.parametrize("stored", [pl.Int64, pl.Int32, pl.UInt64])
@pytest.mark.parametrize("features", [True, False])
def test_keys_and_times_are_told_to_the_reader(tmp_path: Path, stored: Any, features: bool) -> None:
    """Also of another width, and after the frame was asked for its schema; no filter is left above the scan."""
    rows = pl.select(k=pl.int_range(1_000).cast(stored), event=pl.lit(START), x=pl.int_range(1_000))
    rows.write_parquet(tmp_path / "rows.parquet")
    view = ViewFrame(
        name="v", frame=pl.scan_parquet(tmp_path / "rows.parquet"), keys={"k": "k"}, features={"x": "x"},
        event_timestamp="event", unchanged=lambda: True,
    )  # fmt: skip
    asked = pl.LazyFrame({"k": [7, -1], "at": [START, START]})
    join = _Join(asked, [view], "at")
    [candidates] = join.candidates(join.asked())
    read = candidates.read(features=features, push_keys=True)
    said = read.explain()
    assert "SELECTION" in said and "FILTER" not in said
    assert read.collect()["__pit_key_0"].to_list() == [7]
    assert join_as_of(asked, [view], event_timestamp="at").collect()["x"].to_list() == [7, None]


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("order", [[1.0, float("nan")], [float("nan"), 1.0]])
def test_a_key_that_is_no_number_matches_nothing(plan: Plan, order: list[float]) -> None:
    view = ViewFrame(
        name="v", frame=pl.LazyFrame({"k": order, "event": [START] * 2, "x": order}), keys={"k": "k"},
        features={"x": "x"}, event_timestamp="event",
    )  # fmt: skip
    asked = pl.LazyFrame({"k": [float("nan"), 1.0, -0.0], "at": [START] * 3})
    assert join_as_of(asked, [view], event_timestamp="at", plan=plan).collect()["x"].to_list() == [None, 1.0, None]


def test_a_column_of_nanoseconds_is_compared_with_times_that_it_cannot_hold() -> None:
    rows = pl.LazyFrame({"k": [1], "event": pl.Series([START]).cast(pl.Datetime("ns", "UTC")), "x": [1]})
    view = ViewFrame(
        name="v", frame=rows, keys={"k": "k"}, features={"x": "x"}, event_timestamp="event", ttl=timedelta(days=365_000)
    )
    asked = pl.LazyFrame({"k": [1, 1], "at": [START, datetime(2900, 1, 1, tzinfo=UTC)]})
    assert join_as_of(asked, [view], event_timestamp="at").collect()["x"].to_list() == [1, 1]
