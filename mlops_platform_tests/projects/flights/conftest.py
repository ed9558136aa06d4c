"""A small slice of the real flights, read once."""

import polars as pl
import pytest

from mlops_platform.projects.flights import sources, upstream


@pytest.fixture(scope="session")
def all_flights() -> pl.DataFrame:
    """Every flight of 2013, with its two times, as one version each."""
    rows = upstream.read_table(upstream.find_data(), "flights")
    return sources.flights_times(rows.lazy()).with_columns(_file=pl.lit("a"), _row=pl.int_range(pl.len())).collect()


@pytest.fixture(scope="session")
def flights(all_flights: pl.DataFrame) -> pl.DataFrame:
    """Five days around the start of March, at three destinations and for all carriers."""
    march = pl.datetime(2013, 2, 26, time_zone="UTC"), pl.datetime(2013, 3, 3, time_zone="UTC")
    return all_flights.filter(pl.col("event_timestamp").is_between(*march), pl.col("dest").is_in(["ORD", "SFO", "SJU"]))
