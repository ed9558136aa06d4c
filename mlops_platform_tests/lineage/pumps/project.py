"""The pumps project's declaration."""

from pathlib import Path

from mlops_platform.spec import (
    Column,
    Compute,
    Examples,
    FeatureTable,
    Gate,
    Model,
    Network,
    Project,
    RawTable,
    Split,
    columns,
)

_HERE = "mlops_platform_tests.lineage.pumps"
_F = f"{_HERE}.functions"
_KEY = (Column(name="pump", dtype="string", nullable=False), Column(name="at", dtype="timestamp", nullable=False))

READINGS = RawTable(
    name="readings",
    columns=(
        *_KEY,
        Column(name="temperature", dtype="float64", minimum=-50, maximum=300),
        *columns("int64", "vibration"),
    ),
    key=("pump", "at"),
    times=f"{_F}:reading_times",
    description="morning readings of each pump",
)
INSPECTIONS = RawTable(
    name="inspections",
    columns=(*_KEY, *columns("int64", "repaired")),
    key=("pump", "at"),
    times=f"{_F}:inspection_times",
)
PLAN = RawTable(name="plan", columns=_KEY, key=("pump", "at"), times=f"{_F}:plan_times")
PUMP_STATE = FeatureTable(
    name="pump_state",
    source="readings",
    compute=f"{_F}:pump_state",
    keys=("pump",),
    columns=columns("float32", "temperature", "vibration"),
    lookback="1h",
    ttl="2d",
)
MODEL = Model(
    name="pump_repair",
    examples=Examples(
        source="inspections",
        labelled=f"{_F}:inspected",
        upcoming_source="plan",
        upcoming=f"{_F}:planned",
        id="inspection_id",
    ),
    feature_service="pump_repair",
    features=("pump_state",),
    context=(Column(name="weekday", dtype="int64"),),
    categories=("pump",),
    slices=("pump",),
    split=Split(holdout="10d", validation="10d", embargo="1d"),
    network=Network(
        module=f"{_HERE}.module:PumpNet", parameters={"width": 16}, epochs=40, batch_size=32, learning_rate=0.03
    ),
    compute=Compute(threads=1),
    gate=Gate(baseline_margin=0.0, resamples=100, max_calibration_error=1.0),
)
PROJECT = Project(
    name="pumps",
    raw_tables=(READINGS, INSPECTIONS, PLAN),
    feature_tables=(PUMP_STATE,),
    models=(MODEL,),
    feature_repo=Path(__file__).parent / "feature_repo",
    owner="team:maintenance",
    upstream=f"{_F}:deliveries",
)
