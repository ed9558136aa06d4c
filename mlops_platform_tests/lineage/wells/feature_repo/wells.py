"""Entities, sources, views and services of the wells."""

import os
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.data_format import DeltaFormat
from feast.types import Float32

TABLES = f"{os.environ['MLOPS_HOME']}/{os.environ['MLOPS_ENV']}/tables/wells/features"

well = Entity(name="well", join_keys=["well"], value_type=ValueType.STRING)
well_state = FeatureView(
    name="well_state",
    entities=[well],
    ttl=timedelta(days=3),
    schema=[Field(name="level", dtype=Float32)],
    source=FileSource(
        path=f"{TABLES}/well_state",
        file_format=DeltaFormat(),
        timestamp_field="event_timestamp",
        created_timestamp_column="known_timestamp",
    ),
)
water_level = FeatureService(name="water_level", features=[well_state])
