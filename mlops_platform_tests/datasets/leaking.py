"""A feature table with the leak that a naive join on scheduled time has: delays known when the flight was due."""

import polars as pl


def origin_delays(flights: pl.LazyFrame) -> pl.LazyFrame:
    """The mean departure delay of the last three hours by *scheduled* departure, as if it were known then."""
    due = flights.sort("origin", "event_timestamp").filter(pl.col("dep_delay").is_not_null())
    recent = due.rolling("event_timestamp", period="3h", group_by="origin", closed="right")
    means = recent.agg(pl.col("dep_delay").mean().cast(pl.Float32).alias("departure_delay_3h"))
    return means.with_columns(known_timestamp=pl.col("event_timestamp")).unique(
        ["origin", "event_timestamp"], keep="last"
    )
