"""A default that stands in for a missing feature is of the column's dtype."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_platform.errors import SpecError
from mlops_platform.resources.delta import POLARS_TYPES
from mlops_platform.spec import Column
from mlops_platform.spec.tables import DTYPES


def column(dtype: str, default: Any, **more: Any) -> Column:
    return Column(name="c", dtype=dtype, if_missing="default", default=default, **more)


@pytest.mark.parametrize(
    ("dtype", "default"),
    [("int8", -128), ("int64", 2**63 - 1), ("float32", 0), ("float32", 0.5), ("float64", -1e300), ("string", ""),
     ("bool", False)],
)  # fmt: skip
def test_a_default_of_the_columns_dtype_is_taken(dtype: str, default: Any) -> None:
    assert column(dtype, default).default == default


@pytest.mark.parametrize(
    ("dtype", "default", "said"),
    [
        ("int8", 128, "from -128 to 127"), ("int8", 1.0, "whole number"), ("int64", True, "whole number"),
        ("int64", 2**63, "64 bits"), ("int64", "1", "whole number"), ("float32", "0", "finite number"),
        ("float32", 1e39, "finite number"), ("float32", True, "finite number"), ("float64", float("nan"), "finite"),
        ("float64", float("inf"), "finite"), ("string", 0, "a text"), ("bool", 1, "True or False"),
        ("timestamp", "2024-01-01T00:00:00Z", "mark or refuse"),
    ],
)  # fmt: skip
def test_another_is_refused(dtype: str, default: Any, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        column(dtype, default)
    assert caught.value.field == "Column(c).default"


def test_a_default_is_a_valid_value_and_comes_with_its_policy() -> None:
    assert column("float32", 5.0, minimum=0, maximum=5).default == 5.0
    for wrong in (-0.1, 5.1):
        with pytest.raises(SpecError, match=r"from 0 to 5"):
            column("float32", wrong, minimum=0, maximum=5)
    with pytest.raises(SpecError, match="there"):
        Column(name="c", dtype="float32", default=0.0)
    with pytest.raises(SpecError, match="there"):
        column("float32", None)


@given(dtype=st.sampled_from(DTYPES), default=st.integers() | st.floats() | st.text() | st.booleans())
def test_what_is_taken_fits_the_column(dtype: str, default: Any) -> None:
    """Whatever is declared becomes a value of the column, or is refused when it is declared."""
    try:
        taken = column(dtype, default).default
    except SpecError:
        return
    made = pl.Series([taken], dtype=POLARS_TYPES[dtype], strict=True)
    assert made.null_count() == 0
    assert made[0] == pytest.approx(taken, rel=1e-6, abs=1e-37) if dtype == "float32" else made[0] == taken
