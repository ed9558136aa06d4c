"""Views of aircraft."""

from entities import aircraft
from feast import FeatureView, Field
from feast.types import Float32, Int64
from statistics_of_delays import delays
from tables import feature_table

aircraft_delays = delays("aircraft_delays", [aircraft])
aircraft_register = FeatureView(
    name="aircraft",
    entities=[aircraft],
    ttl=None,
    schema=[Field(name="built", dtype=Float32), Field(name="seats", dtype=Float32), Field(name="engines", dtype=Int64)],
    source=feature_table("aircraft"),
)
