"""A few rows, read one by one, are what whole columns of them are: values, times, status and errors."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlops_platform.errors import PlatformError
from mlops_platform.online_store import FewRows, PackedStore, PackedView, Status, ViewRows
from mlops_platform.online_store.keys import key_bytes
from mlops_platform.online_store.rows import pack
from mlops_platform.online_store.view import POLARS
from mlops_platform_tests.online_store.frames import TIME, frames

_AROUND = st.sampled_from([-(10**9), -1, 0, 1, 10**9])
"""Microseconds from the edge of a limit."""
_TTLS = st.sampled_from([None, timedelta(0), timedelta(microseconds=1), timedelta(hours=1), timedelta(days=10**8)])


def same(view: PackedView, many: ViewRows, few: FewRows) -> None:
    """Both say the same, bit by bit."""
    assert few.status == many.status.tolist()
    for told, moments in ((few.events, many.events), (few.knowns, many.knowns)):
        assert told == moments.cast(pl.Int64).to_list()
    for values, column in zip(few.values, many.values.get_columns(), strict=True):
        dtype = POLARS[view.columns[column.name]]
        # In the way of whoever makes a frame of them.
        made = pl.from_dicts([{"value": value} for value in values], schema={"value": dtype})["value"]
        assert made.is_null().equals(column.is_null())
        if column.dtype.is_float():
            assert bits(made) == bits(column)
        else:
            assert made.to_list() == column.to_list()


def bits(column: pl.Series) -> bytes:
    """Of floats, each NaN the same."""
    plain = column.fill_null(0.0).to_numpy()
    return np.where(np.isnan(plain), np.float32(np.nan), plain).tobytes()


@given(made=frames(), ttl=_TTLS, around=_AROUND, data=st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_few_rows_are_what_many_are(
    made: tuple[PackedView, pl.DataFrame], ttl: timedelta | None, around: int, data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    view, frame = replace(made[0], ttl=ttl), made[1]
    store = PackedStore(tmp_path_factory.mktemp("any") / "online.db")
    written = data.draw(st.integers(0, frame.height))
    store.write(view, frame[:written])
    # Some are not there, and each is asked about at an edge: when it happened, or when it grows too old.
    limit = data.draw(st.sampled_from([0, min((ttl or timedelta(0)) // timedelta(microseconds=1), 10**14)]))
    at = frame["event_timestamp"].cast(pl.Int64) + (limit + around)
    names = data.draw(st.permutations(list(view.columns)))
    keys = frame.select(*view.keys)
    many = store.read(view, keys, at.cast(TIME), names)
    same(view, many, store.read_few(view, keys, at.to_list(), names))
    store.close()


@pytest.mark.parametrize("spoil", [
    lambda row: row[:-1], lambda row: row + b"x", lambda row: row[:10], lambda row: b"",
    lambda row: row[:16] + bytes(8) + row[24:],
])  # fmt: skip
@pytest.mark.parametrize("columns", [{"heat": "float32"}, {"heat": "float32", "tag": "string"}])
def test_a_row_that_is_not_whole_or_of_other_columns_is_the_same_error(
    spoil: Callable[[bytes], bytes], columns: dict[str, str], tmp_path: Any
) -> None:
    view = PackedView(name="p_state", keys={"pump": "string"}, columns=columns)
    keys = pl.DataFrame({"pump": ["P"]})
    at = pl.Series([0], dtype=TIME)
    rows = keys.with_columns(at.alias("event_timestamp"), at.alias("known_timestamp"), heat=1.0, tag=pl.lit("a"))
    rows = rows.with_columns(pl.col("heat").cast(pl.Float32))
    store = PackedStore(tmp_path / "online.db")
    store.write_packed(view, key_bytes(view.keys, keys), [spoil(row) for row in pack(view, rows)])
    said = []
    for read in (lambda: store.read(view, keys, at), lambda: store.read_few(view, keys, [0], list(columns))):
        with pytest.raises(PlatformError) as caught:
            read()
        said.append(str(caught.value))
    assert said[0] == said[1]


@example(key=None)
@given(key=st.none() | st.text(max_size=3))
@settings(max_examples=20, deadline=None)
def test_who_is_not_there_has_no_features(key: str | None, tmp_path_factory: pytest.TempPathFactory) -> None:
    view = PackedView(name="p_state", keys={"pump": "string"}, columns={"heat": "float32"})
    store = PackedStore(tmp_path_factory.mktemp("any") / "online.db")
    store.declare(view)
    found = store.read_few(view, pl.DataFrame({"pump": [key]}, {"pump": pl.String}), [0], ["heat"])
    assert found == FewRows([[None]], [int(Status.MISSING)], [None], [None])
    store.close()
