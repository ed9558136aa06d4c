"""Declarations of the flights project's raw tables and feature tables."""

from mlops_platform.spec import Column, FeatureTable, RawTable, columns

_SOURCES = "mlops_platform.projects.flights.sources"
_FEATURES = "mlops_platform.projects.flights.features"

_DATE = (
    Column(name="year", dtype="int64", nullable=False, minimum=1987, maximum=2100),
    Column(name="month", dtype="int64", nullable=False, minimum=1, maximum=12),
    Column(name="day", dtype="int64", nullable=False, minimum=1, maximum=31),
)
_HOUR = Column(name="hour", dtype="int64", nullable=False, minimum=0, maximum=23)
_TIME_HOUR = Column(name="time_hour", dtype="timestamp", nullable=False)
_FLIGHT = (
    *columns("string", "carrier", nullable=False),
    *columns("int64", "flight", nullable=False),
    *columns("string", "tailnum"),
    *columns("string", "origin", "dest", nullable=False),
    Column(name="distance", dtype="int64", nullable=False, minimum=0),
    _HOUR,
    Column(name="minute", dtype="int64", nullable=False, minimum=0, maximum=59),
    _TIME_HOUR,
)
_FLIGHT_KEY = ("time_hour", "minute", "carrier", "flight", "origin")


def _clock(name: str, *, nullable: bool = True) -> Column:
    """A local time of day written as an integer: 517 is 5:17, and 2400 midnight."""
    return Column(name=name, dtype="int64", nullable=nullable, minimum=0, maximum=2400)


FLIGHTS = RawTable(
    name="flights",
    columns=(
        *_DATE,
        _clock("dep_time"),
        _clock("sched_dep_time", nullable=False),
        Column(name="dep_delay", dtype="int64", minimum=-180, maximum=10_000),
        _clock("arr_time"),
        _clock("sched_arr_time", nullable=False),
        Column(name="arr_delay", dtype="int64", minimum=-300, maximum=10_000),
        Column(name="air_time", dtype="int64", minimum=0, maximum=2_000),
        *_FLIGHT,
    ),
    key=_FLIGHT_KEY,
    times=f"{_SOURCES}:flights_times",
    perturb=f"{_SOURCES}:flights_perturbed",
    description="what became of each flight: departure and arrival with their delays, or cancelled, or diverted",
    freshness="1mo",
)
SCHEDULE = RawTable(
    name="schedule",
    columns=(
        *_DATE,
        _clock("sched_dep_time", nullable=False),
        _clock("sched_arr_time", nullable=False),
        *_FLIGHT,
    ),
    key=_FLIGHT_KEY,
    times=f"{_SOURCES}:schedule_times",
    description="flights as planned, delivered a month ahead",
    freshness="1mo",
)
WEATHER = RawTable(
    name="weather",
    columns=(
        *columns("string", "origin", nullable=False),
        *_DATE,
        _HOUR,
        *columns("float64", "temp", "dewp"),
        Column(name="humid", dtype="float64", minimum=0, maximum=100),
        Column(name="wind_dir", dtype="int64", minimum=0, maximum=360),
        Column(name="wind_speed", dtype="float64", minimum=0),
        Column(name="wind_gust", dtype="float64", minimum=0),
        Column(name="precip", dtype="float64", minimum=0),
        Column(name="pressure", dtype="float64", minimum=800, maximum=1_100),
        Column(name="visib", dtype="float64", minimum=0),
        _TIME_HOUR,
    ),
    key=("origin", "time_hour"),
    times=f"{_SOURCES}:weather_times",
    description="hourly weather at the three New York airports",
    freshness="1mo",
)
PLANES = RawTable(
    name="planes",
    columns=(
        *columns("string", "tailnum", nullable=False),
        Column(name="year", dtype="int64", minimum=1900, maximum=2100),
        *columns("string", "type", "manufacturer", "model"),
        Column(name="engines", dtype="int64", minimum=0, maximum=12),
        Column(name="seats", dtype="int64", minimum=0, maximum=1_000),
        Column(name="speed", dtype="int64", minimum=0),
        *columns("string", "engine"),
    ),
    key=("tailnum",),
    times=f"{_SOURCES}:planes_times",
    description="register of aircraft",
)
AIRPORTS = RawTable(
    name="airports",
    columns=(
        *columns("string", "faa", nullable=False),
        *columns("string", "name"),
        Column(name="lat", dtype="float64", minimum=-90, maximum=90),
        Column(name="lon", dtype="float64", minimum=-180, maximum=180),
        *columns("int64", "alt", "tz"),
        *columns("string", "dst", "tzone"),
    ),
    key=("faa",),
    times=f"{_SOURCES}:airports_times",
    description="register of airports",
)
AIRLINES = RawTable(
    name="airlines",
    columns=(*columns("string", "carrier", nullable=False), *columns("string", "name")),
    key=("carrier",),
    times=f"{_SOURCES}:airlines_times",
    description="register of airlines",
)
RAW_TABLES = (FLIGHTS, SCHEDULE, WEATHER, PLANES, AIRPORTS, AIRLINES)

WINDOWS = ("1h", "3h", "24h")
_RATES = ("departure_delay", "late_departures", "cancellations")
_DELAYS = tuple(
    column
    for window in WINDOWS
    for column in (*columns("int64", f"departures_{window}"), *columns("float32", *(f"{r}_{window}" for r in _RATES)))
)


def _delays(name: str, keys: tuple[str, ...], whose: str) -> FeatureTable:
    return FeatureTable(
        name=name,
        source="flights",
        compute=f"{_FEATURES}:{name}",
        keys=keys,
        columns=_DELAYS,
        window="24h",
        # The longest window, and 48 hours for the longest delay of a flight.
        lookback="72h",
        ttl="7d",
        # Half of the rows tell that a key's last flight left a window: there is nothing to average then.
        highest_null_rate=0.8,
        description=f"departure delays and cancellations {whose}, over the last 1, 3 and 24 hours",
    )


FEATURE_TABLES = (
    FeatureTable(
        name="origin_weather",
        source="weather",
        compute=f"{_FEATURES}:origin_weather",
        keys=("origin",),
        columns=columns(
            "float32", "temperature", "dew_point", "humidity", "wind_speed", "wind_from_east", "wind_from_north",
            "wind_gust", "rain", "pressure", "visibility",
        ),
        ttl="1d",
        description="weather at the origin in the last whole hour",
    ),
    _delays("origin_delays", ("origin",), "of all flights from an airport"),
    _delays("carrier_delays", ("carrier",), "of all flights of an airline"),
    _delays("carrier_origin_delays", ("carrier", "origin"), "of an airline's flights from one airport"),
    _delays("destination_delays", ("dest",), "of the flights to a destination"),
    _delays("aircraft_delays", ("tailnum",), "of one aircraft"),
    FeatureTable(
        name="aircraft",
        source="planes",
        compute=f"{_FEATURES}:aircraft",
        keys=("tailnum",),
        columns=(*columns("float32", "built", "seats"), *columns("int64", "engines")),
        partition="whole",
        description="what the register says of an aircraft",
    ),
)  # fmt: skip
