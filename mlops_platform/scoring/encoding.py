"""How rows become a model's inputs: the order of its numeric columns and the codes of its categories."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import polars as pl

from mlops_platform.errors import CorruptArtifactError
from mlops_platform.scoring.errors import InputError
from mlops_platform.scoring.steps import Carried

FORMAT = 1
UNKNOWN = 0
FEW = 256
"""Up to so many rows, values are looked up one by one: polars takes 0.1 ms to begin, whatever it is given."""


@dataclass(frozen=True)
class Vocabulary:
    """The values of a category that the training rows had.

    Attributes:
        name: The column.
        dtype: ``string`` or ``integer``.
        values: Distinct values in rising order; the code of ``values[i]`` is ``i + 1``, and 0 is unknown or null.
    """

    name: str
    dtype: Literal["string", "integer"]
    values: tuple[str, ...] | tuple[int, ...]

    @classmethod
    def learn(cls, column: pl.Series) -> "Vocabulary":
        """The vocabulary of a column of training rows."""
        kind = _kind(column.name, column.dtype)
        values = column.cast(_TYPES[kind]).drop_nulls().unique().sort().to_list()
        return cls(column.name, kind, tuple(values))

    @property
    def cardinality(self) -> int:
        """How many codes there are, the unknown's included."""
        return len(self.values) + 1

    @cached_property
    def _codes(self) -> dict[str | int, int]:
        return dict(zip(self.values, range(1, self.cardinality), strict=True))

    @cached_property
    def _columns(self) -> tuple[pl.Series, pl.Series]:
        return pl.Series(self.values, dtype=_TYPES[self.dtype]), pl.Series(range(1, self.cardinality), dtype=pl.Int64)

    def encode(self, column: pl.Series) -> np.ndarray:
        """Codes int64 [N] of a column.

        Raises:
            InputError: Strings where the training rows had integers, or the other way about.
        """
        if column.dtype == pl.Null:
            return np.full(len(column), UNKNOWN, dtype=np.int64)
        if _kind(self.name, column.dtype) != self.dtype:
            raise InputError(
                required=f"category {self.name} of {self.dtype}s, as in training", found=str(column.dtype),
                remedy=f"cast {self.name} to {_TYPES[self.dtype]}",
            )  # fmt: skip
        wanted = column if column.dtype == _TYPES[self.dtype] else column.cast(_TYPES[self.dtype])
        if len(wanted) <= FEW:
            codes = self._codes
            return np.fromiter((codes.get(value, UNKNOWN) for value in wanted.to_list()), np.int64, len(wanted))
        return wanted.replace_strict(*self._columns, default=UNKNOWN, return_dtype=pl.Int64).to_numpy()


@dataclass(frozen=True)
class Encoding:
    """The inputs of a model.

    Attributes:
        numeric: Names of the F numeric columns, in order.
        vocabularies: Of the C categories, in order.
        network: Reference to the network's class and its parameters, for those who rebuild it in torch.
        carried: What it carries from step to step; None for a network of rows.
    """

    numeric: tuple[str, ...]
    vocabularies: tuple[Vocabulary, ...]
    network: Mapping[str, Any] = field(default_factory=dict)
    carried: Carried | None = None

    @classmethod
    def learn(
        cls, frame: pl.DataFrame, numeric: Sequence[str], categories: Sequence[str], network: Mapping[str, Any]
    ) -> "Encoding":
        """The encoding that training rows ask for.

        Raises:
            InputError: A column is missing, or of a type that is no category.
        """
        _require_columns(frame, (*numeric, *categories))
        return cls(tuple(numeric), tuple(Vocabulary.learn(frame[name]) for name in categories), dict(network))

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of codes of each category."""
        return tuple(vocabulary.cardinality for vocabulary in self.vocabularies)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that a frame must have."""
        inputs = (*self.numeric, *(vocabulary.name for vocabulary in self.vocabularies))
        return inputs if self.carried is None else tuple(dict.fromkeys((*inputs, *self.carried.columns)))

    def encode(self, frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Turns rows into the program's inputs.

        Args:
            frame: N rows with at least ``columns``; nulls allowed.

        Returns:
            numeric: float32 [N, F], raw values, NaN for null, C-contiguous.
            categories: int64 [N, C], code 0 for null or unknown, C-contiguous.

        Raises:
            InputError: A column is missing or of another type than in training.
        """
        _require_columns(frame, (*self.numeric, *(vocabulary.name for vocabulary in self.vocabularies)))
        codes = [vocabulary.encode(frame[vocabulary.name]) for vocabulary in self.vocabularies]
        return _numbers(frame[list(self.numeric)]), _matrix(codes, frame.height, np.int64)

    def to_json(self) -> dict[str, Any]:
        """What ``scoring.json`` holds; nothing of a state where there is none."""
        told = {name: value for name, value in asdict(self).items() if name != "carried" or value is not None}
        return {"format": FORMAT, **told}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Encoding":
        """Reads ``scoring.json`` back.

        Raises:
            CorruptArtifactError: It is of another format.
        """
        if value.get("format") != FORMAT:
            raise CorruptArtifactError(
                required=f"scoring.json of format {FORMAT}", found=f"format {value.get('format')!r}",
                remedy="use the platform version that wrote it, or train again",
            )  # fmt: skip
        vocabularies = [Vocabulary(v["name"], v["dtype"], tuple(v["values"])) for v in value["vocabularies"]]
        told = value.get("carried")
        carried = Carried(tuple(told["entity"]), told["initial"]) if told else None
        return cls(tuple(value["numeric"]), tuple(vocabularies), value["network"], carried)


_TYPES: dict[str, type[pl.DataType]] = {"string": pl.String, "integer": pl.Int64}


def _kind(name: str, dtype: pl.DataType) -> Literal["string", "integer"]:
    if dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        return "string"
    if dtype.is_integer():
        return "integer"
    raise InputError(
        required=f"category {name} of strings or integers", found=str(dtype),
        remedy=f"cast {name} to String, or list it among the numeric columns",
    )  # fmt: skip


def _numbers(frame: pl.DataFrame) -> np.ndarray:
    """Float32 [N, F], NaN for null, C-contiguous."""
    if frame.height <= FEW and set(frame.dtypes) == {pl.Float32()}:
        return frame.to_numpy(order="c")
    for name, dtype in frame.schema.items():
        if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)):
            raise InputError(
                required=f"numeric column {name}", found=str(dtype),
                remedy=f"cast {name} to Float32, or list it among the model's categories",
            )  # fmt: skip
    columns = [column if column.dtype == pl.Float32 else column.cast(pl.Float32) for column in frame.get_columns()]
    return _matrix([column.to_numpy() for column in columns], frame.height, np.float32)


def _matrix(columns: Sequence[np.ndarray], rows: int, dtype: type[np.generic]) -> np.ndarray:
    matrix = np.empty((rows, len(columns)), dtype=dtype)
    for index, column in enumerate(columns):
        matrix[:, index] = column
    return matrix


def _require_columns(frame: pl.DataFrame, names: Sequence[str]) -> None:
    there = set(frame.columns)
    missing = [name for name in names if name not in there]
    if missing:
        raise InputError(
            required=f"columns {', '.join(missing)}", found=f"only {', '.join(frame.columns) or 'no columns'}",
            remedy="add them, as nulls where they are not known",
        )  # fmt: skip
