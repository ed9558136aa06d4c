"""Every value of every type is changed if it is known after T, and none otherwise."""

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from mlops_platform.point_in_time.perturbation import Facts, Perturbed, perturb, unperturbed

T = datetime(2024, 1, 1)
NS = datetime(2262, 4, 11, 23)

VALUES: dict[str, tuple[Any, list[Any]]] = {
    "int8": (pl.Int8(), [127, -128, 0, None]),
    "uint64": (pl.UInt64(), [2**64 - 1, 0, 1, None]),
    "int64": (pl.Int64(), [2**63 - 1, -(2**63), 0, None]),
    "int128": (pl.Int128(), [2**127 - 1, -(2**127), 0, None]),
    "float32": (pl.Float32(), [math.nan, math.inf, -math.inf, 3e38, 1023.5, -1025.0, None]),
    "float64": (pl.Float64(), [1.7e308, -0.0, 1e17, 5e-324, 1.0, -1.0, 2.0, None]),
    "decimal": (pl.Decimal(10, 2), [Decimal("1.50"), Decimal(0), Decimal("-99999999.99"), None]),
    "bool": (pl.Boolean(), [True, False, None]),
    "text": (pl.String(), ["", "a", "ä", None]),
    "category": (pl.Categorical(), ["a", "b", None]),
    "enum": (pl.Enum(["a", "b"]), ["a", "b", None]),
    "enum of one": (pl.Enum(["a"]), ["a", None]),
    "bytes": (pl.Binary(), [b"", b"?", b"x", None]),
    "date": (pl.Date(), [date.max, date.min, date(2020, 2, 29), None]),
    "time": (pl.Time(), [time(23, 59), time(0), None]),
    "duration": (pl.Duration("us"), [timedelta(0), timedelta(days=-5), None]),
    "datetime": (pl.Datetime("us"), [datetime.max, datetime.min, None]),
    "nanoseconds": (pl.Datetime("ns"), [NS, datetime(1970, 1, 1), None]),
    "zoned": (pl.Datetime("ms", "Asia/Tokyo"), [NS.replace(tzinfo=UTC), None]),
    "list": (pl.List(pl.Int8), [[127], [], [None], None]),
    "nested list": (pl.List(pl.List(pl.String)), [[["a"]], [], [[]], None]),
    "array": (pl.Array(pl.Float64, 2), [[1.0, 2.0], [None, math.nan], None]),
    "struct": (pl.Struct({"a": pl.Int64, "b": pl.List(pl.Date)}), [{"a": 1, "b": []}, {"a": None, "b": None}, None]),
}


def facts(dtype: Any, values: list[Any], known: datetime) -> Facts:
    frame = pl.DataFrame({"k": range(len(values)), "x": pl.Series(values, dtype=dtype, strict=False)})
    times = frame.with_columns(event=pl.lit(T - timedelta(days=9)), known=pl.lit(known))
    return Facts(frame=times.lazy(), event_timestamp="event", known_timestamp="known", keys=("k",))


def done(perturbed: Perturbed) -> pl.DataFrame:
    return perturbed.frame.collect()


@pytest.mark.parametrize("name", VALUES)
def test_late_values_change_and_others_do_not(name: str) -> None:
    dtype, values = VALUES[name]
    late, timely = facts(dtype, values, T + timedelta(hours=1)), facts(dtype, values, T)
    before, after = late.frame.collect(), done(perturb(late, T, "change", name="x"))
    assert after.schema == before.schema and unperturbed(late) == ()
    assert not before["x"].eq_missing(after["x"]).any()
    assert before.drop("x").equals(after.drop("x"))
    assert done(perturb(timely, T, "change", name="x")).equals(timely.frame.collect())
    assert perturb(timely, T, "change", name="x").facts == 0
    corrected = done(perturb(timely, T, "correct", name="x"))
    old, new = corrected.head(len(values)), corrected.tail(len(values))
    assert old.equals(timely.frame.collect()) and (new["known"] > T).all()
    assert not old["x"].eq_missing(new["x"]).any()


def test_late_facts_are_removed() -> None:
    both = pl.concat([facts(pl.Int8(), [1], T).frame, facts(pl.Int8(), [2], T + timedelta(hours=1)).frame])
    found = perturb(Facts(frame=both, event_timestamp="event", known_timestamp="known"), T, "remove", name="x")
    assert found.facts == 1 and done(found)["x"].to_list() == [1]


@pytest.mark.parametrize("dtype", [pl.Null(), pl.List(pl.Null), pl.Enum([])])
def test_types_without_another_value_are_named(dtype: Any) -> None:
    assert unperturbed(facts(dtype, [None], T)) == ("x",)
