"""Declaration of the model that forecasts the mean departure delay at each airport, hour by hour."""

from mlops_platform.spec import (
    Compute,
    Examples,
    Forecast,
    Gate,
    Model,
    Monitoring,
    Network,
    Retraining,
    Sequence,
    Split,
    columns,
)

_EXAMPLES = "mlops_platform.projects.flights.congestion.examples"

AIRPORT_CONGESTION = Model(
    name="airport_congestion",
    description="How late will flights leave an airport, on average, in this hour and each of the next five?",
    task=Forecast(
        horizon=6,
        step="1h",
        unit="minutes",
        persistence=tuple(f"origin_delays__departure_delay_{window}" for window in ("1h", "3h", "24h")),
        season=("hour_of_week", "origin"),
    ),
    examples=Examples(
        source="flights",
        labelled=f"{_EXAMPLES}:labelled",
        upcoming_source="schedule",
        upcoming=f"{_EXAMPLES}:unlabelled_schedule",
        id="hour_id",
        calendar="America/New_York",
    ),
    feature_service="airport_congestion",
    features=("origin_weather", "origin_delays"),
    context=columns(
        "float32", "hour_sin", "hour_cos", "weekday_sin", "weekday_cos", "scheduled_1", "scheduled_2", "scheduled_3",
        "scheduled_4", "scheduled_5", "scheduled_6",
    )
    + columns("int64", "hour_of_week"),
    categories=("origin", "hour_of_week"),
    carried=columns("int64", "hour_of_day"),
    slices=("origin", "hour_of_day"),
    split=Split(holdout="1mo", validation="14d", embargo="1d"),
    network=Network(
        module="mlops_platform.projects.flights.congestion.module:CongestionNet",
        epochs=5,
        learning_rate=2e-3,
        weight_decay=0.3,
        sequence=Sequence(entity=("origin",), window=48),
    ),
    compute=Compute(threads=2),
    gate=Gate(
        metric="mae",
        baseline_margin=0.5,
        champion_margin=0.0,
        slice_margins={"origin": 0.5},
        max_megabytes=10,
    ),
    # Minutes: what a forecast may be worse by, live, than on the month that it was judged on.
    monitoring=Monitoring(max_drop=3.0),
    retraining=Retraining(new_rows=1_000, stale_after="45d", cooldown="1m"),
)  # fmt: skip
