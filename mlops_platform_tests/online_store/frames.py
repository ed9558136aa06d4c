"""Any view and any rows of it, for property tests."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
from hypothesis import strategies as st

from mlops_platform.online_store import PackedView
from mlops_platform.online_store.view import DTYPES, KEY_DTYPES, POLARS

TIME = pl.Datetime("us", "UTC")
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int32": st.integers(-(2**31), 2**31 - 1), "int64": st.integers(-(2**63), 2**63 - 1),
    "float32": st.floats(width=32), "float64": st.floats(), "bool": st.booleans(),
    "timestamp": st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)),
    "string": st.text(st.characters(exclude_categories=["Cs"])), "bytes": st.binary(), "proto": st.binary(),
}  # fmt: skip


@st.composite
def frames(draw: st.DrawFn) -> tuple[PackedView, pl.DataFrame]:
    """A view and at most six rows of it, each of another key."""
    key_dtypes = draw(st.lists(st.sampled_from(KEY_DTYPES), min_size=1, max_size=3))
    dtypes = draw(st.lists(st.sampled_from(DTYPES), min_size=1, max_size=10))
    keys = {f"k{9 - i}": dtype for i, dtype in enumerate(key_dtypes)}
    columns = {f"c{i}": dtype for i, dtype in enumerate(dtypes)}
    size = draw(st.integers(0, 6))
    data: dict[str, Any] = {}
    for name, dtype in (keys | columns).items():
        values = _VALUES[dtype] if name in keys else st.none() | _VALUES[dtype]
        if name in keys and dtype == "timestamp":
            values = values.map(lambda moment: moment.replace(microsecond=0))
        series = draw(st.lists(values, min_size=size, max_size=size))
        data[name] = pl.Series(series, dtype=POLARS[dtype])
    for name in ("event_timestamp", "known_timestamp"):
        data[name] = pl.Series(draw(st.lists(_VALUES["timestamp"], min_size=size, max_size=size)), dtype=TIME)
    view = PackedView(name="any", keys=keys, columns=columns)
    return view, pl.DataFrame(data).unique(list(keys), keep="any", maintain_order=True)
