"""How rows become inputs: codes, missing values, and the errors of a frame that is not the model's."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_platform.errors import CorruptArtifactError
from mlops_platform.scoring import Encoding, InputError, Vocabulary
from mlops_platform.scoring.encoding import FEW, UNKNOWN

TRAIN = pl.DataFrame({"size": [1.0, None, float("nan")], "colour": ["red", "blue", None], "shelf": [7, 3, 7]})
ENCODING = Encoding.learn(TRAIN, ["size"], ["colour", "shelf"], {"module": "a:B", "parameters": {"hidden": 2}})


def test_codes_follow_the_sorted_vocabulary_and_zero_is_unknown() -> None:
    frame = pl.DataFrame({"size": [2, None, 3], "colour": ["blue", "green", None], "shelf": [7, 4, None]})
    numeric, categories = ENCODING.encode(frame)
    assert (numeric.dtype, categories.dtype) == (np.float32, np.int64)
    assert np.array_equal(numeric, np.array([[2], [np.nan], [3]], dtype=np.float32), equal_nan=True)
    assert categories.tolist() == [[1, 2], [0, 0], [0, 0]]
    assert ENCODING.cardinalities == (3, 3)


def test_it_survives_its_json() -> None:
    assert Encoding.from_json(json.loads(json.dumps(ENCODING.to_json()))) == ENCODING


def test_another_format_is_refused() -> None:
    with pytest.raises(CorruptArtifactError, match="format 1"):
        Encoding.from_json({**ENCODING.to_json(), "format": 2})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": pl.lit("large")}, "numeric column size"),
        ({"colour": pl.lit(4)}, "category colour of strings"),
        ({"shelf": pl.lit("7")}, "category shelf of integers"),
        ({"shelf": pl.lit(7.0)}, "category shelf of strings or integers"),
    ],
)
def test_a_column_of_another_type_is_refused(change: dict[str, pl.Expr], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ENCODING.encode(TRAIN.with_columns(**change))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InputError, match="columns colour"):
        ENCODING.encode(TRAIN.drop("colour"))


@pytest.mark.parametrize("dtype", [pl.Boolean, pl.Null, pl.Float64, pl.UInt8])
def test_any_numeric_type_and_nulls_only_are_read(dtype: pl.DataType) -> None:
    frame = TRAIN.with_columns(
        size=pl.lit(None, dtype=dtype), colour=pl.lit(None, dtype=pl.Null), shelf=pl.lit(7, dtype=pl.Int8)
    )
    numeric, categories = ENCODING.encode(frame)
    assert np.isnan(numeric).all()
    assert categories.tolist() == [[0, 2]] * 3


def test_no_rows_give_no_rows() -> None:
    numeric, categories = ENCODING.encode(TRAIN.clear())
    assert numeric.shape == (0, 1)
    assert categories.shape == (0, 2)


@given(st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=30), st.lists(st.text(max_size=3), max_size=30))
def test_known_values_get_one_code_each_and_others_zero(train: list[str | None], later: list[str]) -> None:
    column = pl.DataFrame({"c": pl.Series(train, dtype=pl.String)})
    (vocabulary,) = Encoding.learn(column, [], ["c"], {}).vocabularies
    codes = vocabulary.encode(pl.Series("c", later, dtype=pl.String)).tolist()
    known = sorted({value for value in train if value is not None}, key=lambda text: text.encode())
    assert codes == [known.index(value) + 1 if value in known else 0 for value in later]


@given(st.data())
def test_few_rows_and_many_are_encoded_alike(data: st.DataObject) -> None:
    """Each path of the encoding gives the bits of the one expression that defines them."""
    value, dtype = data.draw(st.sampled_from([(st.text(max_size=2), pl.String), (st.integers(-5, 5), pl.Int64)]))
    column = st.one_of(st.none(), value)
    train, later = data.draw(st.lists(column, max_size=9)), data.draw(st.lists(column, max_size=9))
    vocabulary = Vocabulary.learn(pl.Series("c", train, dtype=dtype))
    codes = {value: code for code, value in enumerate(vocabulary.values, start=1)}
    rows = pl.Series("c", later, dtype=dtype)
    many = pl.concat([rows] * (FEW // max(1, len(rows)) + 1)) if len(rows) else rows
    for each in (rows, many):
        found = vocabulary.encode(each)
        assert found.dtype == np.int64 and found.tolist() == [codes.get(v, UNKNOWN) for v in each.to_list()]


@given(
    st.sampled_from([pl.Float32, pl.Float64, pl.Int8, pl.Int64, pl.Boolean]),
    st.lists(st.one_of(st.none(), st.integers(-100, 100), st.floats(allow_nan=True)), max_size=9),
)
def test_numbers_are_cast_and_nulls_are_nan_to_the_bit(dtype: type[pl.DataType], values: list[float | None]) -> None:
    if dtype in (pl.Int8, pl.Int64):
        values = [None if v is None or v != v or abs(v) > 100 else int(v) for v in values]
    column = pl.Series("x", values, dtype=pl.Float64 if dtype in (pl.Float32, pl.Float64) else None, strict=False)
    column = column.cast(pl.Float64, strict=False).cast(dtype, strict=False)
    numeric, _ = Encoding(("x",), ()).encode(column.to_frame())
    expected = column.cast(pl.Float32).fill_null(float("nan")).to_numpy()
    assert np.array_equal(numeric[:, 0].view(np.uint32), np.ascontiguousarray(expected).view(np.uint32))
