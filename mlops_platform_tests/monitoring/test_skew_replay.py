"""The replay gives what the point-in-time join gives, whatever the rows; and it asks for a bounded number of them."""

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_platform.monitoring.skew.arrivals import arrivals
from mlops_platform.monitoring.skew.bounds import upper_bound
from mlops_platform.monitoring.skew.compare import compare
from mlops_platform.monitoring.skew.sample import chosen, sample
from mlops_platform_tests.monitoring.machines import HOUR, NAMES, START, TIME, examples, readings, replayed


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 120), st.integers(1, 60))
def test_the_replay_agrees_with_the_join(seed: int, rows: int, asked: int) -> None:
    table = readings(seed, rows)
    questions = examples(table, seed + 1, asked)
    with TemporaryDirectory() as folder:
        report = replayed(Path(folder), questions, table)
    assert [each["name"] for each in report["features"] if each["mismatched"]] == []
    assert {each["name"] for each in report["features"]} == set(NAMES)
    assert report["moments"] == questions["event_timestamp"].n_unique()


def test_a_late_correction_of_an_older_fact_is_not_brought_online() -> None:
    table = pl.DataFrame({
        "pump": ["P"] * 3, "value": [1.0, 2.0, 9.0],
        "event_timestamp": pl.Series([START, START + HOUR, START], dtype=TIME),
        "known_timestamp": pl.Series([START, START + HOUR, START + 3 * HOUR], dtype=TIME),
    })  # fmt: skip
    moments = pl.Series([START + step * HOUR for step in range(5)], dtype=TIME)
    found = arrivals(table.lazy(), name="v", keys=["pump"], columns=["value"], asked=table, moments=moments)
    assert found.rows["value"].to_list() == [1.0, 2.0] and found.ends == [1, 2, 2, 2, 2]
    assert found.at(0) == slice(0, 1) and found.at(3) == slice(2, 2)


def test_rows_of_entities_that_nobody_asks_for_are_left_out() -> None:
    table = readings()
    moments = pl.Series([START + timedelta(days=9)], dtype=TIME)
    asked = pl.DataFrame({"pump": ["P1", "P9"]})
    found = arrivals(table.lazy(), name="v", keys=["pump"], columns=["mode"], asked=asked, moments=moments)
    assert found.rows["pump"].to_list() == ["P1"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=300), st.integers(1, 50), st.integers(1, 50))
def test_a_sample_is_bounded_and_spread(times: list[int], rows: int, moments: int) -> None:
    told = np.sort(np.array(times, dtype=np.int64))
    places = chosen(told, rows=rows, moments=moments)
    assert len(np.unique(places)) == len(places) > 0 and (np.diff(places) > 0).all()
    assert len(places) <= rows and len(np.unique(told[places])) <= moments
    if rows >= len(told) and moments >= len(told):
        assert len(places) == len(told)


def test_a_sample_reaches_from_end_to_end_of_the_holdout(tmp_path: Path) -> None:
    rows = pl.DataFrame({"event_timestamp": pl.Series([START + HOUR * (n // 3) for n in range(900)], dtype=TIME),
                         "n": range(900)})  # fmt: skip
    rows.sample(fraction=1, shuffle=True, seed=1).write_parquet(tmp_path / "holdout.parquet")
    found, height = sample(tmp_path / "holdout.parquet", rows=60, moments=20)
    assert (found.height, height, found["event_timestamp"].n_unique()) == (60, 900, 20)
    assert found["event_timestamp"].is_sorted()
    gaps = found["event_timestamp"].unique().sort().diff().drop_nulls()
    assert gaps.max() <= 16 * HOUR and found["n"].min() < 45 and found["n"].max() > 855  # type: ignore[operator]


@pytest.mark.parametrize(("online", "offline", "mismatched", "largest"), [
    (pl.Series([1.0, None, float("nan"), 0.0]), pl.Series([1.0, None, float("nan"), -0.0]), 0, None),
    (pl.Series([None, 0.0]), pl.Series([0.0, float("nan")]), 2, None),
    (pl.Series([0.1], dtype=pl.Float32), pl.Series([0.1]), 1, pytest.approx(1.5e-9, rel=0.1)),
    (pl.Series([2**60], dtype=pl.Int64), pl.Series([2**60 + 1], dtype=pl.Int64), 1, 0.0),
    (pl.Series(["a", None]), pl.Series(["A", None]), 1, None),
    (pl.Series(["1"]), pl.Series([1]), 0, None),
])  # fmt: skip
def test_what_counts_as_equal(online: pl.Series, offline: pl.Series, mismatched: int, largest: float | None) -> None:
    found = compare(online, offline)
    assert (found.mismatched, found.largest) == (mismatched, largest)
    assert (found.worst is None) == (mismatched == 0)


def test_the_bound_of_a_rate_is_the_rule_of_three_where_nothing_was_found() -> None:
    assert upper_bound(0, 1000) == pytest.approx(3 / 1000, rel=0.01)
    assert upper_bound(5, 100) == pytest.approx(0.1022, abs=1e-3) and upper_bound(4, 4) == 1.0
    assert upper_bound(0, 0) is None
