"""What each model reads, together."""

from airlines import carrier_delays, carrier_origin_delays
from airports import destination_delays, origin_delays, origin_weather
from feast import FeatureService
from fleet import aircraft_delays, aircraft_register

flight_delay = FeatureService(
    name="flight_delay",
    features=[
        origin_weather,
        origin_delays[["departure_delay_1h", "departure_delay_3h", "departure_delay_24h"]],
        carrier_delays[["departure_delay_3h", "departure_delay_24h"]],
        carrier_origin_delays[["departure_delay_3h"]],
        destination_delays[["departure_delay_3h", "departure_delay_24h"]],
        aircraft_delays[["departure_delay_24h"]],
        aircraft_register[["built", "seats"]],
    ],
)
airport_congestion = FeatureService(name="airport_congestion", features=[origin_weather, origin_delays])
