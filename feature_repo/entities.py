"""What features are about."""

from feast import Entity, ValueType

origin = Entity(name="origin", join_keys=["origin"], value_type=ValueType.STRING, description="airport of departure")
carrier = Entity(name="carrier", join_keys=["carrier"], value_type=ValueType.STRING, description="airline, two letters")
destination = Entity(
    name="destination", join_keys=["dest"], value_type=ValueType.STRING, description="airport of arrival"
)
aircraft = Entity(name="aircraft", join_keys=["tailnum"], value_type=ValueType.STRING, description="tail number")
