"""Pure functions of the pumps project, and the rows that its upstream delivers."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl

START = datetime(2024, 3, 1, tzinfo=UTC)
DAYS, PUMPS = 70, 4


def deliveries(through: str) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """Readings and inspections by month, up to ``through``; the inspections planned go one day further."""
    days = pl.DataFrame({"day": range(DAYS + 1)}).join(pl.DataFrame({"number": range(PUMPS)}), how="cross")
    wave = (pl.col("day") * 7 + pl.col("number") * 13) % 17
    rows = days.select(
        "day",
        pump=pl.format("P{}", "number"),
        at=pl.lit(START) + pl.duration(days=pl.col("day"), hours=6),
        temperature=60.0 + wave.cast(pl.Float64),
        vibration=pl.when(pl.col("day") % 9 == 0).then(None).otherwise((wave % 5).cast(pl.Int64)),
        # Neither cool nor hot pumps fail: a line cannot tell them apart, a small network can.
        repaired=((wave - 8).abs() <= 3).cast(pl.Int64),
    ).with_columns(month=pl.col("at").dt.strftime("%Y-%m"))
    for month in rows["month"].unique().sort():
        part = rows.filter(pl.col("month") == month)
        if month <= through:
            done = part.filter(pl.col("day") < DAYS)
            yield "readings", month, done.select("pump", "at", "temperature", "vibration")
            yield "inspections", month, done.select("pump", "at", "repaired")
    yield "plan", "2024-03", rows.select("pump", "at")


def reading_times(rows: pl.LazyFrame) -> pl.LazyFrame:
    """A reading is true at its time and known ten minutes later."""
    return rows.with_columns(event_timestamp=pl.col("at"), known_timestamp=pl.col("at") + timedelta(minutes=10))


def inspection_times(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Whether a repair followed is known a day after the inspection."""
    return rows.with_columns(event_timestamp=pl.col("at"), known_timestamp=pl.col("at") + timedelta(days=1))


def plan_times(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Inspections are planned a week ahead."""
    return rows.with_columns(event_timestamp=pl.col("at"), known_timestamp=pl.col("at") - timedelta(days=7))


def pump_state(readings: pl.LazyFrame) -> pl.LazyFrame:
    """The newest reading of each pump."""
    return readings.select(
        "pump", "event_timestamp", "known_timestamp",
        pl.col("temperature").cast(pl.Float32), pl.col("vibration").cast(pl.Float32),
    )  # fmt: skip


def inspected(rows: pl.LazyFrame) -> pl.LazyFrame:
    """One example an inspection, asked an hour after the morning's reading; a corrected one by its newest version."""
    newest = rows.sort("known_timestamp").unique(["pump", "at"], keep="last", maintain_order=True)
    return _asked(newest).with_columns(
        label=pl.col("repaired").cast(pl.Int8),
        label_known_timestamp=pl.col("known_timestamp"),
        unlabelled=pl.when(pl.col("repaired").is_null()).then(pl.lit("not inspected")),
    ).drop("repaired", "known_timestamp")  # fmt: skip


def planned(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The inspections to come."""
    return _asked(rows).drop("known_timestamp")


def _asked(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.with_columns(
        inspection_id=pl.format("{}-{}", "pump", pl.col("at").dt.strftime("%Y%m%d")),
        event_timestamp=pl.col("at") + timedelta(hours=1),
        weekday=pl.col("at").dt.weekday().cast(pl.Int64),
    ).drop("at", "_file", "_row", "_partition", strict=False)
