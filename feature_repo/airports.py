"""Views of what goes on at airports."""

from datetime import timedelta

from entities import destination, origin
from feast import FeatureView, Field
from feast.types import Float32
from statistics_of_delays import delays
from tables import feature_table

WEATHER = ["temperature", "dew_point", "humidity", "wind_speed", "wind_from_east", "wind_from_north", "wind_gust",
           "rain", "pressure", "visibility"]  # fmt: skip

origin_weather = FeatureView(
    name="origin_weather",
    entities=[origin],
    ttl=timedelta(days=1),
    schema=[Field(name=name, dtype=Float32) for name in WEATHER],
    source=feature_table("origin_weather"),
)
origin_delays = delays("origin_delays", [origin])
destination_delays = delays("destination_delays", [destination])
