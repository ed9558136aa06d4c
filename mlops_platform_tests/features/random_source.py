"""The pumps with a feature function that has an undeclared source of randomness in April."""

import itertools
from dataclasses import replace

import polars as pl

from mlops_platform_tests.lineage.pumps.functions import pump_state
from mlops_platform_tests.lineage.pumps.project import PROJECT, PUMP_STATE

_calls = itertools.count()


def unsteady(readings: pl.LazyFrame) -> pl.LazyFrame:
    """The newest reading of each pump, April's a little warmer at each call."""
    drift = pl.when(pl.col("event_timestamp").dt.month() == 4).then(next(_calls)).otherwise(0)
    return pump_state(readings).with_columns((pl.col("temperature") + drift).cast(pl.Float32))


UNSTEADY = replace(PROJECT, feature_tables=(replace(PUMP_STATE, compute=f"{__name__}:unsteady"),))
