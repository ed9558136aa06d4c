"""Rolling statistics of delays: one view for whatever the entities name."""

from datetime import timedelta

from feast import Entity, FeatureView, Field
from feast.types import Float32, Int64
from tables import feature_table

WINDOWS = ("1h", "3h", "24h")
RATES = ("departure_delay", "late_departures", "cancellations")


def delays(name: str, entities: list[Entity]) -> FeatureView:
    """A view of departures counted and delays averaged over the last 1, 3 and 24 hours."""
    fields = []
    for window in WINDOWS:
        fields.append(Field(name=f"departures_{window}", dtype=Int64))
        fields += [Field(name=f"{rate}_{window}", dtype=Float32) for rate in RATES]
    return FeatureView(name=name, entities=entities, ttl=timedelta(days=7), schema=fields, source=feature_table(name))
