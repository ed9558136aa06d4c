"""The simpler model that every network must beat: a logistic regression on the same train split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from mlops_platform.evaluation.classes import require_two_classes

MOST_LEVELS = 200
"""Categories of more levels get no columns: a regularised network can learn them, a plain regression cannot."""
_ITERATIONS = 300
_SHORTEST = 1e-6
"""Standard deviation below which a column counts as constant."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A fitted logistic regression and how its inputs are prepared.

    The inputs are, in this order: each numeric standardised, null and infinite replaced by the mean; a flag for each
    numeric that had such values in training; a column for each level of each category (levels not seen in training
    have none, null is a level).

    Attributes:
        mean, scale: float32 [numeric], of the train split.
        flagged: Numerics with a missing flag.
        levels: Levels by category.
        dropped: Number of levels of each category that has too many.
        weights: float32 [inputs].
        intercept: Log odds where all inputs are zero.
        iterations: Of the solver.
    """

    numeric: tuple[str, ...]
    mean: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float32]
    flagged: tuple[str, ...]
    levels: Mapping[str, tuple[str | None, ...]]
    dropped: Mapping[str, int]
    weights: npt.NDArray[np.float32]
    intercept: float
    iterations: int

    def score(self, frame: pl.DataFrame) -> npt.NDArray[np.float32]:
        """Probabilities [N], float32, of rows that have the columns it was fitted on."""
        odds = _inputs(frame, self.numeric, self.mean, self.scale, self.flagged, self.levels) @ self.weights
        return (1 / (1 + np.exp(-(odds.astype(np.float64) + self.intercept)))).astype(np.float32)


def fit_baseline(train: pl.DataFrame, *, numeric: Sequence[str], categories: Sequence[str],
                 most_levels: int = MOST_LEVELS) -> Baseline:  # fmt: skip
    """Fits the logistic regression: L2 penalty of strength 1, L-BFGS, float32, sparse; the same rows give equal bits.

    Args:
        train: Rows with the columns named here and ``label`` (0, 1).
        numeric: Names of the numeric columns; nulls allowed.
        categories: Names of the category columns, String or integer; nulls allowed.
        most_levels: Categories of more levels are dropped and named.

    Raises:
        EvaluationError: The labels have one class.
    """
    labels = train["label"].to_numpy()
    require_two_classes(labels, where="the train split")
    mean, scale, flagged = _moments(train, numeric)
    found = {name: tuple(_text(train, name).unique().sort(nulls_last=True).to_list()) for name in categories}
    levels = {name: values for name, values in found.items() if len(values) <= most_levels}
    inputs = _inputs(train, tuple(numeric), mean, scale, flagged, levels)
    model = LogisticRegression(C=1.0, solver="lbfgs", max_iter=_ITERATIONS).fit(inputs, labels)
    return Baseline(
        numeric=tuple(numeric), mean=mean, scale=scale, flagged=flagged, levels=levels,
        dropped={name: len(values) for name, values in found.items() if name not in levels},
        weights=model.coef_[0].astype(np.float32), intercept=float(model.intercept_[0]),
        iterations=int(model.n_iter_[0]),
    )  # fmt: skip


def _numbers(frame: pl.DataFrame, name: str) -> npt.NDArray[np.float64]:
    values = frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()
    values[~np.isfinite(values)] = np.nan
    return values


def _text(frame: pl.DataFrame, name: str) -> pl.Series:
    return frame[name].cast(pl.String)


def _moments(
    frame: pl.DataFrame, numeric: Sequence[str]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], tuple[str, ...]]:
    means, scales, flagged = [], [], []
    for name in numeric:
        values = _numbers(frame, name)
        known = values[~np.isnan(values)]
        if len(known) < len(values):
            flagged.append(name)
        means.append(known.mean() if len(known) else 0.0)
        deviation = known.std() if len(known) else 0.0
        scales.append(deviation if deviation > _SHORTEST * max(1.0, abs(means[-1])) else 1.0)
    return np.array(means, dtype=np.float32), np.array(scales, dtype=np.float32), tuple(flagged)


def _inputs(frame: pl.DataFrame, numeric: Sequence[str], mean: npt.NDArray[np.float32],
            scale: npt.NDArray[np.float32], flagged: Sequence[str],
            levels: Mapping[str, tuple[str | None, ...]]) -> sparse.csr_matrix:  # fmt: skip
    """The design matrix [N, inputs], float32; sparse, since a row has one level of each category."""
    dense = np.zeros((frame.height, len(numeric) + len(flagged)), dtype=np.float32)
    flags = {name: len(numeric) + place for place, name in enumerate(flagged)}
    for place, name in enumerate(numeric):
        values = _numbers(frame, name)
        missing = np.isnan(values)
        dense[:, place] = np.where(missing, 0, (values - mean[place]) / scale[place])
        if name in flags:
            dense[:, flags[name]] = missing
    blocks = [sparse.csr_matrix(dense), *(_one_hot(_text(frame, name), known) for name, known in levels.items())]
    return sparse.hstack(blocks, format="csr", dtype=np.float32)


def _one_hot(values: pl.Series, levels: tuple[str | None, ...]) -> sparse.csr_matrix:
    """Columns [N, levels], float32, one of them 1 where the row's value is a known level."""
    places = pl.DataFrame({"value": pl.Series(levels, dtype=pl.String)}).with_row_index("place")
    rows = pl.DataFrame({"value": values})
    found = rows.join(places, on="value", how="left", nulls_equal=True, maintain_order="left")["place"]
    known = np.flatnonzero(found.is_not_null().to_numpy())
    columns = found.drop_nulls().to_numpy().astype(np.int32)
    ones = np.ones(len(known), dtype=np.float32)
    return sparse.csr_matrix((ones, (known, columns)), shape=(len(values), len(levels)))
