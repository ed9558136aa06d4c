"""Pure functions of the wells project, and the rows that its upstream delivers."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl

START = datetime(2024, 3, 1, tzinfo=UTC)
DAYS, WELLS, HORIZON, PERIOD = 100, 4, 3, 10
DAY = timedelta(days=1)


def deliveries(through: str) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """Levels by month, up to ``through``, some of them not read; the days to come go one further."""
    days = pl.DataFrame({"day": range(DAYS + 1)}).join(pl.DataFrame({"number": range(WELLS)}), how="cross")
    tide = _phase(pl.col("day")).sin()
    rows = days.select(
        "day",
        well=pl.format("W{}", "number"),
        at=pl.lit(START) + pl.duration(days=pl.col("day"), hours=6),
        level=pl.when((pl.col("day") * 3 + pl.col("number")) % 11 > 0).then(20.0 + 4 * pl.col("number") + 8 * tide),
    ).with_columns(month=pl.col("at").dt.strftime("%Y-%m"))
    for month in rows["month"].unique().sort():
        if month <= through:
            yield "levels", month, rows.filter(month=month).filter(pl.col("day") < DAYS).select("well", "at", "level")
    yield "plan", "2024-03", rows.select("well", "at")


def level_times(rows: pl.LazyFrame) -> pl.LazyFrame:
    """A level is read in the morning and known in the evening."""
    return rows.with_columns(event_timestamp=pl.col("at"), known_timestamp=pl.col("at") + timedelta(hours=12))


def plan_times(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Readings are planned a week ahead."""
    return rows.with_columns(event_timestamp=pl.col("at"), known_timestamp=pl.col("at") - timedelta(days=7))


def well_state(levels: pl.LazyFrame) -> pl.LazyFrame:
    """The newest level of each well."""
    return levels.select("well", "event_timestamp", "known_timestamp", pl.col("level").cast(pl.Float32))


def ahead(levels: pl.LazyFrame) -> pl.LazyFrame:
    """An example for each well and midnight: its level on the three days that follow, null where it was not read."""
    newest = levels.sort("known_timestamp").unique(["well", "at"], keep="last", maintain_order=True)
    midnight = pl.col("at").dt.truncate("1d")
    steps = [
        newest.select("well", (midnight - step * DAY).alias("day"), pl.col("level").cast(pl.Float32).alias(f"{step}"),
                      pl.lit(step).alias("ahead"), "known_timestamp")
        for step in range(HORIZON)
    ]  # fmt: skip
    found = (
        pl.concat(steps, how="diagonal")
        .group_by("well", "day")
        .agg(*(pl.col(f"{step}").max() for step in range(HORIZON)), pl.col("ahead", "known_timestamp").max())
    )
    whole = pl.col("ahead") == HORIZON - 1
    return _asked(found).select(
        pl.exclude("day", "ahead", "known_timestamp", *(f"{step}" for step in range(HORIZON))),
        label=pl.when(whole).then(pl.concat_arr(f"{step}" for step in range(HORIZON))),
        label_known_timestamp=pl.when(whole).then(pl.max_horizontal("known_timestamp", pl.col("day") + HORIZON * DAY)),
        unlabelled=pl.when(~whole).then(pl.lit("not over")),
    )


def planned(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The days to come."""
    return _asked(rows.select("well", day=pl.col("at").dt.truncate("1d"))).drop("day")


def _asked(rows: pl.LazyFrame) -> pl.LazyFrame:
    number = (pl.col("day") - pl.lit(START)).dt.total_days()
    return rows.with_columns(
        day_id=pl.format("{}-{}", "well", pl.col("day").dt.strftime("%Y%m%d")),
        event_timestamp=pl.col("day"),
        tide_sin=_phase(number).sin().cast(pl.Float32),
        tide_cos=_phase(number).cos().cast(pl.Float32),
        weekday=pl.col("day").dt.weekday().cast(pl.Int64),
    )


def _phase(day: pl.Expr) -> pl.Expr:
    return day.cast(pl.Float64) * (2 * 3.141592653589793 / PERIOD)
