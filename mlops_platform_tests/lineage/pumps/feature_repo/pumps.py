"""Entities, sources, views and services of the pumps."""

import os
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.data_format import DeltaFormat
from feast.types import Float32

TABLES = f"{os.environ['MLOPS_HOME']}/{os.environ['MLOPS_ENV']}/tables/pumps/features"

pump = Entity(name="pump", join_keys=["pump"], value_type=ValueType.STRING)
pump_state = FeatureView(
    name="pump_state",
    entities=[pump],
    ttl=timedelta(days=2),
    schema=[Field(name="temperature", dtype=Float32), Field(name="vibration", dtype=Float32)],
    source=FileSource(
        path=f"{TABLES}/pump_state",
        file_format=DeltaFormat(),
        timestamp_field="event_timestamp",
        created_timestamp_column="known_timestamp",
    ),
)
pump_repair = FeatureService(name="pump_repair", features=[pump_state])
