"""The model ``flight_delay``: will this flight arrive 15 minutes late or more, asked two hours before its departure?"""

from mlops_platform.spec import (
    Between,
    Compute,
    Examples,
    Gate,
    Model,
    Network,
    OneOf,
    Retraining,
    Split,
    Tuning,
    Whole,
    columns,
)

_EXAMPLES = "mlops_platform.projects.flights.delay.examples"
_TUNING = Tuning(
    space={
        "learning_rate": Between(3e-4, 1e-2, log=True),
        "weight_decay": Between(1e-3, 1.0, log=True),
        "batch_size": OneOf((512, 1024, 2048)),
        "parameters.hidden": Whole(64, 512, log=True),
        "parameters.dropout": Between(0.0, 0.6),
    },
    trials=20,
)

FLIGHT_DELAY = Model(
    name="flight_delay",
    description="Will a flight arrive 15 minutes late or more (the US DOT's definition), two hours before departure?",
    examples=Examples(
        source="flights",
        labelled=f"{_EXAMPLES}:labelled",
        upcoming_source="schedule",
        upcoming=f"{_EXAMPLES}:unlabelled_schedule",
        id="flight_id",
        calendar="America/New_York",
    ),
    feature_service="flight_delay",
    features=(
        "origin_weather",
        "origin_delays:departure_delay_1h",
        "origin_delays:departure_delay_3h",
        "origin_delays:departure_delay_24h",
        "carrier_delays:departure_delay_3h",
        "carrier_delays:departure_delay_24h",
        "carrier_origin_delays:departure_delay_3h",
        "destination_delays:departure_delay_3h",
        "destination_delays:departure_delay_24h",
        "aircraft_delays:departure_delay_24h",
        "aircraft:built",
        "aircraft:seats",
    ),
    context=columns(
        "float32", "departure_sin", "departure_cos", "arrival_sin", "arrival_cos", "departure_minute", "weekday_sin",
        "weekday_cos", "distance", "scheduled_minutes",
    )
    + columns("string", "flight_number"),
    categories=("carrier", "origin", "dest", "flight_number"),
    carried=columns("int64", "hour_of_day"),
    slices=("origin", "carrier", "hour_of_day"),
    split=Split(holdout="1mo", validation="14d", embargo="1d"),
    network=Network(
        module="mlops_platform.projects.flights.delay.module:FlightDelayNet",
        epochs=4,
        batch_size=1024,
        learning_rate=2e-3,
        weight_decay=0.1,
    ),
    tuning=_TUNING,
    compute=Compute(threads=2),
    gate=Gate(
        metric="roc_auc",
        baseline_margin=0.005,
        champion_margin=0.0,
        slice_margins={"origin": 0.01},
        max_calibration_error=0.08,
        max_megabytes=10,
    ),
    # A month is delivered as several files, some minutes apart: the cooldown lets them come together.
    retraining=Retraining(new_rows=5_000, stale_after="45d", cooldown="1m"),
)  # fmt: skip
