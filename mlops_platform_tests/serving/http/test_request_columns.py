"""The pydantic models that OpenAPI shows and the checks by column say the same of every value."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mlops_platform.projects.flights.project import PROJECT as FLIGHTS
from mlops_platform.serving.http.columns import (
    RANGES,
    TYPES,
    Given,
    entity_columns,
    feature_columns,
    frame_of,
    row_columns,
)
from mlops_platform.serving.http.errors import Refused
from mlops_platform.serving.http.schemas import row_model, schemas
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT

_BOUNDS = st.one_of(st.none(), st.integers(-5, 5).map(float))
_COLUMNS = st.builds(
    lambda dtype, nullable, low, high: Given(
        name="value", dtype=dtype, nullable=nullable,
        minimum=low if dtype in RANGES else None, maximum=high if dtype in RANGES else None,
    ),
    st.sampled_from(sorted(TYPES)), st.booleans(), _BOUNDS, _BOUNDS,
)  # fmt: skip
_EDGES = [
    2**63 - 1,
    2**63,
    -(2**63),
    -(2**63) - 1,
    127,
    128,
    3.4028234663852886e38,
    3.5e38,
    1.5,
    2.0,
    -0.0,
    10**400,
    1e308,
]
_TIMES = st.datetimes(datetime(1890, 1, 1), datetime(2210, 1, 1), timezones=st.just(UTC)).map(datetime.isoformat)
_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(_EDGES),
    st.text(max_size=5), _TIMES, st.sampled_from(["2024-02-01T00:00:00Z", "2024-02-01T00:00:00", "x" * 1001]),
    st.lists(st.integers(), max_size=1), st.dictionaries(st.text(max_size=1), st.integers(), max_size=1),
)  # fmt: skip


def refused(column: Given, value: Any) -> str | None:
    """Why the check by column refuses a value, or None."""
    try:
        frame = frame_of((column,), {"value": [value]}, 1, "rows")
    except Refused as error:
        return str(error)
    assert frame.schema["value"] == TYPES[column.dtype]
    return None


@settings(max_examples=400, deadline=None)
@given(_COLUMNS, _VALUES)
@example(Given(name="value", dtype="int64"), 2.0)
@example(Given(name="value", dtype="float32"), 3.5e38)
@example(Given(name="value", dtype="float32"), 10**400)
def test_both_say_the_same_of_a_value(column: Given, value: Any) -> None:
    model = TypeAdapter(row_model("Row", (column,)))
    try:
        # JSON has no whole numbers apart: 2.0 is one, where pydantic is strict about Python's types.
        whole = column.dtype.startswith("int") and type(value) is float and value.is_integer()
        model.validate_python({"value": int(value) if whole else value})
        schema_refuses = False
    except ValidationError:
        schema_refuses = True
    why = refused(column, value)
    # A date that the calendar does not have passes a pattern.
    assert (why is not None) == schema_refuses, (why, value)


@pytest.mark.parametrize("make", [entity_columns, feature_columns, row_columns])
def test_every_declared_column_is_in_the_form(make: Any) -> None:
    names = [column.name for column in make(PROJECT, MODEL)]
    assert len(set(names)) == len(names)
    expected = {
        entity_columns: ["pump", "weekday", "id", "event_timestamp"],
        feature_columns: ["pump", "weekday", "id", "event_timestamp", "pump_state__temperature",
                          "pump_state__vibration"],
        row_columns: ["pump", "at"],
    }[make]  # fmt: skip
    assert names == expected


def test_a_form_tells_types_bounds_and_what_must_be_named() -> None:
    readings = Given(name="temperature", dtype="float64", nullable=False, minimum=-50, maximum=300)
    found = row_model("Reading", (readings,)).model_json_schema()["properties"]["temperature"]
    assert (found["type"], found["minimum"], found["maximum"]) == ("number", -50, 300)
    model = FLIGHTS.model("flight_delay")
    forms = {form["required"][0]: form for form in schemas(FLIGHTS, model, 100).request["oneOf"]}
    assert sorted(forms) == ["entities", "features", "rows"]
    row = forms["features"]["properties"]["features"]
    assert row["maxItems"] == 100
    # Slices are computed from carried columns; the network never sees them.
    assert "hour_of_day" not in row["items"]["required"]
    assert {"origin", "tailnum", "distance", "aircraft__built"} <= set(row["items"]["required"])
    assert row["items"]["additionalProperties"] is False
