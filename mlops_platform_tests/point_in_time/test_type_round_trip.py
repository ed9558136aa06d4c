"""Every type of Feast's type system, from a Parquet file through our store, and on to the online store and back."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from decimal import Decimal as Number
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore, FeatureView, Field, FileSource, ValueType
from feast import types as ft
from feast.types import Array, Set, Struct

from mlops_platform_tests.point_in_time.other_stores import DRIVER, HOUR, MICRO, OURS, T, open_store

TEXT, BYTES, TIME = pa.string(), pa.binary(), pa.timestamp("us", "UTC")
IDS = [uuid.UUID("6fa459ea-ee8a-11e3-ac10-0800200c9a66"), uuid.UUID("16fd2706-8baf-433b-82eb-8c7fada847da")]
IDS_TEXT = [str(each) for each in IDS]
PAIRS = pa.map_(TEXT, TEXT)
SAME = object()


@dataclass(frozen=True)
class Kind:
    """A declared type, how it is stored, two values, and what the online store gives back for them.

    A type that Feast cannot write online has the reason instead: what its error says.
    """

    declared: Any
    stored: pa.DataType
    values: Sequence[Any]
    online: Any = SAME
    reason: str = ""


def listed(base: Any, stored: pa.DataType, values: list[Any], online: list[Any] | None = None) -> Kind:
    return Kind(Array(base), pa.list_(stored), [values, []], [online or values, []])


def a_set(base: Any, stored: pa.DataType, values: list[Any], online: list[Any] | None = None) -> Kind:
    return Kind(Set(base), pa.list_(stored), [values, []], [set(online or values), set()])


# Online, a timestamp is whole seconds; in all other ways a value comes back as it went.
PRIMITIVES = {
    "string": Kind(ft.String, TEXT, ["a", ""]),
    "bytes": Kind(ft.Bytes, BYTES, [b"\x00", b""]),
    "pdf": Kind(ft.PdfBytes, BYTES, [b"%PDF", b""]),
    "image": Kind(ft.ImageBytes, BYTES, [b"\x89PNG", b""]),
    "bool": Kind(ft.Bool, pa.bool_(), [True, False]),
    "int32": Kind(ft.Int32, pa.int32(), [7, -(2**31)]),
    "int64": Kind(ft.Int64, pa.int64(), [7, -(2**53)]),
    "float32": Kind(ft.Float32, pa.float32(), [0.5, float(np.float32(0.1))]),
    "float64": Kind(ft.Float64, pa.float64(), [0.1, 1e300]),
    "timestamp": Kind(ft.UnixTimestamp, TIME, [T, T + MICRO], [T, T]),
    "zoned": Kind(ft.ZonedTimestamp, TIME, [T, T + MICRO], reason="ZONED_TIMESTAMP expects datetime values"),
    "uuid": Kind(ft.Uuid, TEXT, IDS_TEXT, IDS),
    "time uuid": Kind(ft.TimeUuid, TEXT, IDS_TEXT[:1] * 2, IDS[:1] * 2),
    "decimal as text": Kind(ft.Decimal, TEXT, ["1.10", "-2"], [Number("1.10"), Number(-2)]),
    "decimal": Kind(
        ft.Decimal, pa.decimal128(38, 9), [Number("1.100000000"), Number("-12345678901234567890.123456789")]
    ),
    "json": Kind(ft.Json, TEXT, ['{"a": 1}', "[]"], [{"a": 1}, []]),
    "map": Kind(ft.Map, PAIRS, [[("a", "b")], []], reason="Expected dict for MAP type, got ndarray"),
    "map as json": Kind(ft.Map, TEXT, ['{"a": "b"}', "{}"], [{"a": "b"}, {}]),
    "scalar map": Kind(ft.ScalarMap, PAIRS, [[("a", "b")], []], reason="Expected dict for SCALAR_MAP type, got nd"),
}
LISTS = {
    "list of string": listed(ft.String, TEXT, ["a", ""]),
    "list of bytes": listed(ft.Bytes, BYTES, [b"\x00", b""]),
    "list of bool": listed(ft.Bool, pa.bool_(), [True, False]),
    "list of int32": listed(ft.Int32, pa.int32(), [7, -1]),
    "list of int64": listed(ft.Int64, pa.int64(), [2**53 + 1, -1]),
    "list of float32": listed(ft.Float32, pa.float32(), [0.5]),
    "list of float64": listed(ft.Float64, pa.float64(), [0.1]),
    "list of timestamp": listed(ft.UnixTimestamp, TIME, [T, T + MICRO], [T, T]),
    "list of uuid": listed(ft.Uuid, TEXT, IDS_TEXT, IDS),
    "list of time uuid": listed(ft.TimeUuid, TEXT, IDS_TEXT[:1], IDS[:1]),
    "list of decimal": listed(ft.Decimal, TEXT, ["1.5"], [Number("1.5")]),
    "list of json": listed(ft.Json, TEXT, ['{"a": 1}'], [{"a": 1}]),
    "list of map": Kind(Array(ft.Map), pa.list_(PAIRS), [[[("a", "b")]], []], reason="Expected list for MAP_LIST type"),
    "fixed list": Kind(Array(ft.Float32), pa.list_(pa.float32(), 2), [[0.5, 1.0], [1.5, 2.0]]),
    "struct": Kind(
        Struct({"a": ft.String, "b": Array(ft.Int64)}), pa.struct([("a", TEXT), ("b", pa.list_(pa.int64()))]),
        [{"a": "x", "b": [1]}, {"a": "", "b": [2, 3]}],
    ),
    "list of struct": Kind(Array(Struct({"a": ft.Int64})), pa.list_(pa.struct([("a", pa.int64())])), [[{"a": 1}], []]),
    "list of list": Kind(Array(Array(ft.Int64)), pa.list_(pa.list_(pa.int64())), [[[1], [2, 3]], []]),
    "list of set": Kind(Array(Set(ft.Int64)), pa.list_(pa.list_(pa.int64())), [[[1], [2, 3]], []]),
    "set of list": Kind(Set(Array(ft.Int64)), pa.list_(pa.list_(pa.int64())), [[[1], [2, 3]], []]),
}  # fmt: skip
SETS = {
    "set of string": a_set(ft.String, TEXT, ["a", "b"]),
    "set of bytes": a_set(ft.Bytes, BYTES, [b"\x00", b""]),
    "set of bool": a_set(ft.Bool, pa.bool_(), [True]),
    "set of int32": a_set(ft.Int32, pa.int32(), [7, -1]),
    "set of int64": a_set(ft.Int64, pa.int64(), [2**53 + 1, -1]),
    "set of float32": a_set(ft.Float32, pa.float32(), [0.5]),
    "set of float64": a_set(ft.Float64, pa.float64(), [0.1]),
    "set of timestamp": a_set(ft.UnixTimestamp, TIME, [T]),
    "set of uuid": a_set(ft.Uuid, TEXT, IDS_TEXT, IDS),
    "set of time uuid": a_set(ft.TimeUuid, TEXT, IDS_TEXT[:1], IDS[:1]),
    "set of decimal": a_set(ft.Decimal, TEXT, ["1.5"], [Number("1.5")]),
}
KINDS = PRIMITIVES | LISTS | SETS
ONLINE = [name for name, kind in KINDS.items() if not kind.reason]
# What cannot even be declared: Feast has the type and no value type for it, or refuses it.
UNDECLARED = [(wrap, base) for wrap in (Array, Set) for base in (ft.PdfBytes, ft.ImageBytes, ft.ZonedTimestamp)]
UNDECLARED += [(Set, ft.Json), (Set, ft.Map), (Array, ft.ScalarMap), (Set, ft.ScalarMap)]
# Asked in another order than stored, with one entity row that matches nothing.
ASKED = pd.DataFrame({"k": [3, 1, 9, 2], "event_timestamp": [T] * 4})


def column(name: str) -> str:
    return name.replace(" ", "_")


def view_over(root: Path, name: str, kinds: dict[str, Kind], *, nulls: bool = True) -> FeatureView:
    """A view whose features are one column of each kind: two values, then a null."""
    arrays = {column(each): pa.array([*kind.values, None], kind.stored) for each, kind in kinds.items()}
    table = pa.table({"k": [1, 2, 3], "event": pa.array([T] * 3, TIME), **arrays})
    pq.write_table(table if nulls else table[:2], root / f"{name}.parquet")
    source = FileSource(name=f"{name}_source", path=str(root / f"{name}.parquet"), timestamp_field="event")
    schema = [Field(name=column(each), dtype=kind.declared) for each, kind in kinds.items()]
    return FeatureView(
        name=name, source=source, entities=[DRIVER], schema=[*schema, Field(name="k", dtype=ft.Int64)],
        ttl=timedelta(0),
    )  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """A repository with all kinds in one view, and those that can go online in another, materialised."""
    root = tmp_path_factory.mktemp("types")
    views = [view_over(root, "every", KINDS), view_over(root, "online", {name: KINDS[name] for name in ONLINE})]
    opened = open_store(root, OURS, *views)
    opened.materialize(T - HOUR, T, feature_views=["online"])
    return opened


def asked(store: FeatureStore, name: str) -> Any:
    return store.get_historical_features(ASKED, [f"every:{column(name)}"])


def expected(kind: Kind) -> list[Any]:
    return [None, kind.values[0], None, kind.values[1]]


def test_no_type_of_feasts_is_forgotten() -> None:
    primitives = set(ft.PrimitiveFeastType) - {ft.Invalid}
    assert primitives == {kind.declared for kind in PRIMITIVES.values()}
    kinds = {ft.from_feast_type(kind.declared) for kind in KINDS.values()}
    assert set(ValueType) - kinds == {ValueType.UNKNOWN, ValueType.NULL}


@pytest.mark.parametrize(("wrap", "base"), UNDECLARED)
def test_what_feast_cannot_declare(wrap: Any, base: Any) -> None:
    with pytest.raises((KeyError, ValueError), match=r"_LIST|_SET|is currently not supported as a base type"):
        Field(name="x", dtype=wrap(base)).to_proto()


@pytest.mark.parametrize("name", KINDS)
def test_arrow_is_as_stored(store: FeatureStore, name: str) -> None:
    kind, got = KINDS[name], asked(store, name).to_arrow()[column(name)]
    plain = pa.list_(kind.stored.value_type) if pa.types.is_fixed_size_list(kind.stored) else kind.stored
    assert got.type == plain
    assert "large" not in str(got.type)
    assert (got.num_chunks, got.to_pylist()) == (1, expected(kind))


@pytest.mark.parametrize("name", KINDS)
def test_polars_is_as_stored(store: FeatureStore, name: str) -> None:
    kind, got = KINDS[name], asked(store, name).to_polars()[column(name)]
    stored = pl.Series(pl.from_arrow(pa.array(expected(kind), kind.stored)))
    listed_too = [pl.List(stored.dtype.inner)] if isinstance(stored.dtype, pl.Array) else []
    assert got.dtype in [stored.dtype, *listed_too]
    assert got.to_list() == stored.to_list()


@pytest.mark.parametrize("name", KINDS)
def test_pandas_is_as_stored(store: FeatureStore, name: str) -> None:
    """Except that pandas has no nulls in integers, which become floats."""
    kind, got = KINDS[name], asked(store, name).to_df()[column(name)]
    dtypes = {pa.float32(): "float32", TIME: "datetime64[us, UTC]", pa.int64(): "float64", pa.int32(): "float64"}
    assert str(got.dtype) == dtypes.get(kind.stored, "float64" if kind.stored == pa.float64() else "object")
    assert got.isna().to_list() == [True, False, True, False]
    assert [plain(value) for value in got[[1, 3]]] == list(kind.values)


def plain(value: Any) -> Any:
    """A value of pandas without numpy's and pandas' own types."""
    if isinstance(value, pd.Timestamp | np.datetime64):
        moment = pd.Timestamp(value).to_pydatetime()
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if isinstance(value, np.ndarray | list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return value.item() if isinstance(value, np.generic) else value


@pytest.mark.parametrize("name", ONLINE)
def test_online_gives_it_back(store: FeatureStore, name: str) -> None:
    kind = KINDS[name]
    got = store.get_online_features([f"online:{column(name)}"], [{"k": k} for k in (1, 2, 3, 9)]).to_dict()
    values = kind.values if kind.online is SAME else kind.online
    assert got[column(name)] == [*values, None, None]


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ONLINE])
def test_what_feast_cannot_write_online(tmp_path: Path, name: str) -> None:
    store = open_store(tmp_path, OURS, view_over(tmp_path, "one", {name: KINDS[name]}))
    with pytest.raises(TypeError, match=KINDS[name].reason):
        store.materialize(T - HOUR, T)


LARGE = {"x": Kind(ft.Int64, pa.int64(), [2**53 + 1, 2**63 - 1])}


def test_large_integers_beside_nulls_are_kept_by_us_and_rounded_by_feast_on_the_way_online(tmp_path: Path) -> None:
    """Feast hands Arrow columns to its online stores as numpy arrays, where an integer with nulls is a float."""
    store = open_store(tmp_path, OURS, view_over(tmp_path, "v", LARGE), view_over(tmp_path, "w", LARGE, nulls=False))
    ours = store.get_historical_features(ASKED, ["v:x"]).to_arrow()["x"].to_pylist()
    assert ours == [None, 2**53 + 1, None, 2**63 - 1]
    store.materialize(T - HOUR, T, feature_views=["w"])
    keys = [{"k": 1}, {"k": 2}]
    assert store.get_online_features(["w:x"], keys).to_dict()["x"] == [2**53 + 1, 2**63 - 1]
    (tmp_path / "v.parquet").unlink()
    view = view_over(tmp_path, "v", {"x": Kind(ft.Int64, pa.int64(), [2**53 + 1, 7])})
    store.apply(view)
    store.materialize(T - HOUR, T, feature_views=["v"])
    assert store.get_online_features(["v:x"], keys).to_dict()["x"] == [2**53, 7]
