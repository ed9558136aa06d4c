"""Views of what goes on at airlines."""

from entities import carrier, origin
from statistics_of_delays import delays

carrier_delays = delays("carrier_delays", [carrier])
carrier_origin_delays = delays("carrier_origin_delays", [carrier, origin])
