"""A feature table is computed from just the months that changed, and equals the whole computation."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_platform.errors import PlatformError
from mlops_platform.features.compute import Computed, compute_table
from mlops_platform.resources.delta import PARTITION, DeltaDoor
from mlops_platform.spec import FeatureTable, columns
from mlops_platform_tests.lineage.pumps import functions

_START = datetime(2024, 1, 1, tzinfo=UTC)
_TABLE = FeatureTable(
    name="recent", source="readings", compute=f"{functions.__name__}:pump_state", keys=("pump",),
    columns=columns("int64", "total"), lookback="5d", window="5d",
)  # fmt: skip


def rolling(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Sum of the last five days of each pump."""
    recent = rows.sort("pump", "event_timestamp").rolling(
        "event_timestamp", period="5d", group_by="pump", closed="right"
    )
    return recent.agg(total=pl.col("value").sum()).with_columns(known_timestamp=pl.col("event_timestamp"))


def raw(values: list[int]) -> pl.DataFrame:
    """One row a pump and day from January 1."""
    days = pl.DataFrame({"day": range(len(values)), "value": values})
    return days.join(pl.DataFrame({"pump": ["a", "b"]}), how="cross").select(
        "pump", "value", event_timestamp=pl.lit(_START) + pl.duration(days=pl.col("day"))
    )


def months(rows: pl.DataFrame) -> dict[str, str]:
    named = rows.with_columns(month=pl.col("event_timestamp").dt.strftime("%Y-%m"))
    return {m: str(part.hash_rows().sum()) for (m,), part in sorted(named.group_by("month"), key=lambda item: item[0])}


def table_rows(door: DeltaDoor) -> pl.DataFrame:
    return door.scan().drop(PARTITION).sort("pump", "event_timestamp").collect()


def test_only_the_months_that_changed_are_computed(tmp_path: Path) -> None:
    door = DeltaDoor(tmp_path / "t")
    values = [1] * 100
    first = compute_table(_TABLE, rolling, raw(values).lazy(), months(raw(values)), "c", door)
    assert first.computed == ("2024-01", "2024-02", "2024-03", "2024-04", "2024-05")
    again = compute_table(_TABLE, rolling, raw(values).lazy(), months(raw(values)), "c", door)
    assert again.computed == () and door.version == 0
    values[40] = 9
    changed = compute_table(_TABLE, rolling, raw(values).lazy(), months(raw(values)), "c", door)
    assert changed.computed == ("2024-02", "2024-03")
    files = sorted(door.path.rglob("*.parquet"))
    assert compute_table(_TABLE, rolling, raw(values).lazy(), months(raw(values)), "other code", door).kept == ()
    # Equal rows by other code: that is noted, and no data file is written.
    assert sorted(door.path.rglob("*.parquet")) == files and set(door.digests()) == set(first.computed)
    assert compute_table(_TABLE, rolling, raw(values).lazy(), months(raw(values)), "other code", door).computed == ()


def test_months_that_are_asked_for_are_written_only_where_they_differ(tmp_path: Path) -> None:
    door, values, more = DeltaDoor(tmp_path / "t"), [1] * 100, [0]

    def unsteady(rows: pl.LazyFrame) -> pl.LazyFrame:
        in_march = pl.col("event_timestamp").dt.month() == 3
        return rolling(rows).with_columns(pl.col("total") + pl.when(in_march).then(more[0]).otherwise(0))

    def again(*asked: str) -> Computed:
        rows = raw(values)
        return compute_table(_TABLE, unsteady, rows.lazy(), months(rows), "c", door, again=asked)

    again()
    equal = again("2024-02", "2024-03", "2031-01")
    assert equal.rebuilt == equal.computed == ("2024-02", "2024-03") and equal.differing == () and door.version == 0
    assert equal.said == "rebuilt 2 months, equal bytes" and equal.kept == ("2024-01", "2024-04", "2024-05")
    more[0], before = 1, door.digests()
    other = again("2024-02", "2024-03")
    assert other.differing == ("2024-03",) and door.version == 1
    assert {m for m in before if before[m] != door.digests()[m]} == {"2024-03"}
    # Rows that changed are no randomness.
    values[70] = 5
    changed = again("2024-03")
    assert changed.rebuilt == ("2024-03",) and changed.differing == () and changed.computed == ("2024-03", "2024-04")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.integers(0, 9), min_size=20, max_size=90),
    more=st.lists(st.integers(0, 9), max_size=40),
    change=st.tuples(st.integers(0, 200), st.integers(0, 9)),
)
def test_month_by_month_equals_the_whole(tmp_path_factory, values: list[int], more: list[int], change) -> None:
    door = DeltaDoor(tmp_path_factory.mktemp("t") / "t")
    compute_table(_TABLE, rolling, raw(values).lazy(), months(raw(values)), "c", door)
    grown = values + more
    grown[change[0] % len(grown)] = change[1]
    compute_table(_TABLE, rolling, raw(grown).lazy(), months(raw(grown)), "c", door)
    whole = rolling(raw(grown).lazy()).select("pump", "event_timestamp", "known_timestamp", "total")
    assert table_rows(door).equals(whole.sort("pump", "event_timestamp").collect())


def expiring(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Sum of the last five days, told when a value comes and when it leaves."""
    came = rows.select("pump", "event_timestamp", value=pl.col("value"))
    left = came.select("pump", pl.col("event_timestamp") + pl.duration(days=5), -pl.col("value"))
    changes = pl.concat([came, left]).group_by("pump", "event_timestamp").agg(total=pl.col("value").sum())
    sums = changes.sort("pump", "event_timestamp").with_columns(pl.col("total").cum_sum().over("pump"))
    return sums.with_columns(known_timestamp=pl.col("event_timestamp"))


def test_what_leaves_a_window_after_the_last_raw_month_is_told(tmp_path: Path) -> None:
    door, rows = DeltaDoor(tmp_path / "t"), raw([1] * 31)
    made = compute_table(_TABLE, expiring, rows.lazy(), months(rows), "c", door)
    assert made.computed == ("2024-01", "2024-02")
    found = table_rows(door)
    assert found["event_timestamp"].max() == _START + timedelta(days=35) and found["total"][-1] == 0


def test_columns_may_change_between_computations(tmp_path: Path) -> None:
    door, rows = DeltaDoor(tmp_path / "t"), raw([1, 2])
    compute_table(_TABLE, rolling, rows.lazy(), months(rows), "c", door)
    halves = replace(_TABLE, columns=(*columns("float64", "total"), *columns("int64", "more")))

    def other(frame: pl.LazyFrame) -> pl.LazyFrame:
        return rolling(frame).with_columns(pl.col("total") / 2, more=pl.lit(1, dtype=pl.Int64))

    compute_table(halves, other, rows.lazy(), months(rows), "c", door)
    assert table_rows(door)["total"].to_list() == [0.5, 1.5, 0.5, 1.5]
    with pytest.raises(PlatformError, match="when its columns change"):
        door.replace(door.scan().drop("more").collect(), [], metadata={}, digests={})


def test_equal_rows_have_equal_digests_whatever_the_order_of_computation(tmp_path: Path) -> None:
    values = list(range(70))
    one, two = DeltaDoor(tmp_path / "one"), DeltaDoor(tmp_path / "two")
    compute_table(_TABLE, rolling, raw(values).lazy(), months(raw(values)), "c", one)
    for count in (20, 45, 70):
        compute_table(_TABLE, rolling, raw(values[:count]).lazy(), months(raw(values[:count])), "c", two)
    assert one.digests() == two.digests()


def test_rows_are_written_sorted_by_key_and_time(tmp_path: Path) -> None:
    door = DeltaDoor(tmp_path / "t")
    compute_table(_TABLE, rolling, raw([1] * 20).lazy(), months(raw([1] * 20)), "c", door)
    rows = door.scan().collect()
    assert rows.equals(rows.sort("pump", "event_timestamp"))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda rows: rows.drop("total"), "total: missing"),
        (lambda rows: rows.with_columns(pl.col("total").cast(pl.Float64)), "total: Float64, not Int64"),
        (lambda rows: rows.with_columns(pl.col("event_timestamp").dt.replace_time_zone(None)), "event_timestamp"),
    ],
)
def test_a_function_that_breaks_its_declaration_is_told_how(tmp_path: Path, spoil, said: str) -> None:
    with pytest.raises(PlatformError, match=said):
        whole = _TABLE.__class__(**{**_TABLE.__dict__, "partition": "whole", "window": None, "lookback": None})
        compute_table(
            whole, lambda rows: spoil(rolling(rows)), raw([1]).lazy(), {"m": "d"}, "c", DeltaDoor(tmp_path / "t")
        )
