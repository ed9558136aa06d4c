"""The flights project: departures from New York, whether they will arrive late, and how late airports will run.

The data are the 336,776 flights of 2013 with hourly weather and the registers of aircraft, airports and airlines.
"""

from pathlib import Path

from mlops_platform.projects.flights.congestion.spec import AIRPORT_CONGESTION
from mlops_platform.projects.flights.delay.spec import FLIGHT_DELAY
from mlops_platform.projects.flights.tables import FEATURE_TABLES, RAW_TABLES
from mlops_platform.spec import Project

PROJECT = Project(
    name="flights",
    raw_tables=RAW_TABLES,
    feature_tables=FEATURE_TABLES,
    models=(FLIGHT_DELAY, AIRPORT_CONGESTION),
    feature_repo=Path(__file__).parents[3] / "feature_repo",
    owner="team:flights",
    upstream="mlops_platform.projects.flights.upstream:deliveries",
)
