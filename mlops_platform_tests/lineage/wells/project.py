"""Declarations of the wells project."""

from pathlib import Path

from mlops_platform.spec import (
    Column,
    Compute,
    Examples,
    FeatureTable,
    Forecast,
    Gate,
    Model,
    Monitoring,
    Network,
    Project,
    RawTable,
    Split,
    columns,
)

_HERE = "mlops_platform_tests.lineage.wells"
_F = f"{_HERE}.functions"
_KEY = (Column(name="well", dtype="string", nullable=False), Column(name="at", dtype="timestamp", nullable=False))

LEVELS = RawTable(name="levels", columns=(*_KEY, *columns("float64", "level")), key=("well", "at"),
                  times=f"{_F}:level_times")  # fmt: skip
PLAN = RawTable(name="plan", columns=_KEY, key=("well", "at"), times=f"{_F}:plan_times")
WELL_STATE = FeatureTable(
    name="well_state", source="levels", compute=f"{_F}:well_state", keys=("well",), columns=columns("float32", "level"),
    lookback="1h", ttl="3d",
)  # fmt: skip
MODEL = Model(
    name="water_level",
    task=Forecast(
        horizon=3, step="1d", unit="cm", persistence=("well_state__level",), season=("weekday", "well"),
    ),
    examples=Examples(source="levels", labelled=f"{_F}:ahead", upcoming_source="plan", upcoming=f"{_F}:planned",
                      id="day_id"),
    feature_service="water_level",
    features=("well_state",),
    context=columns("float32", "tide_sin", "tide_cos"),
    categories=("well",),
    carried=columns("int64", "weekday"),
    slices=("well",),
    split=Split(holdout="21d", validation="10d", embargo="1d"),
    network=Network(module="mlops_platform_tests.training.networks:Steps", epochs=12, batch_size=16, learning_rate=0.1),
    compute=Compute(threads=1),
    gate=Gate(metric="mae", baseline_margin=0.5, resamples=100, slice_margins={"well": 0.5}, slice_rows=10),
    monitoring=Monitoring(min_rows=2, min_days=2, max_drop=2.0),
)  # fmt: skip
PROJECT = Project(
    name="wells", raw_tables=(LEVELS, PLAN), feature_tables=(WELL_STATE,), models=(MODEL,),
    feature_repo=Path(__file__).parent / "feature_repo", owner="team:water", upstream=f"{_F}:deliveries",
)  # fmt: skip
