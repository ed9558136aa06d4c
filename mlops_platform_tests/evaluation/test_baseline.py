"""The logistic regression: inputs, gaps, levels, determinism."""

import numpy as np
import polars as pl
import pytest

from mlops_platform.evaluation.baseline import fit_baseline
from mlops_platform.evaluation.errors import EvaluationError
from mlops_platform.scoring.metrics import roc_auc


def _train(rows: int = 4000) -> pl.DataFrame:
    random = np.random.default_rng(0)
    size, colour = random.normal(5000, 300, rows), random.choice(["red", "blue"], rows)
    missing = random.random(rows) < 0.2
    odds = (size - 5000) / 300 + 1.5 * (colour == "red") + 2.0 * missing - 1.5
    return pl.DataFrame(
        {
            "size": pl.Series(size, dtype=pl.Float32).set(pl.Series(missing), None),
            "same": [7.0] * rows,
            "void": pl.Series([None] * rows, dtype=pl.Float32),
            "colour": colour,
            "serial": [str(i) for i in range(rows)],
            "code": random.integers(0, 3, rows),
            "label": (random.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.int8),
        }
    )


TRAIN = _train()
NUMERIC, CATEGORIES = ("size", "same", "void"), ("colour", "serial", "code")


def test_it_learns_numbers_gaps_and_levels_and_names_what_it_drops() -> None:
    model = fit_baseline(TRAIN, numeric=NUMERIC, categories=CATEGORIES)
    assert model.flagged == ("size", "void")
    assert dict(model.dropped) == {"serial": 4000}
    assert model.levels["colour"] == ("blue", "red") and model.levels["code"] == ("0", "1", "2")
    assert len(model.weights) == 3 + 2 + 2 + 3
    scores = model.score(TRAIN)
    assert scores.dtype == np.float32 and ((scores > 0) & (scores < 1)).all()
    assert roc_auc(TRAIN["label"].to_numpy(), scores) > 0.8
    assert scores.mean() == pytest.approx(TRAIN["label"].mean(), abs=0.01)


def test_equal_rows_give_equal_bits() -> None:
    first, second = (fit_baseline(TRAIN, numeric=NUMERIC, categories=CATEGORIES) for _ in range(2))
    assert first.weights.tobytes() == second.weights.tobytes() and first.intercept == second.intercept


def test_unseen_levels_nulls_infinities_and_further_columns_are_scored() -> None:
    model = fit_baseline(TRAIN, numeric=NUMERIC, categories=CATEGORIES)
    rows = pl.DataFrame(
        {"size": [5000.0, None, float("inf")], "same": [7.0, None, 9.0], "void": [None, 1.0, None],
         "colour": ["green", None, "red"], "code": [0, 99, None], "more": [1, 2, 3]},
        schema_overrides={"void": pl.Float64},
    )  # fmt: skip
    assert np.isfinite(model.score(rows)).all()


def test_null_is_a_level_where_training_had_it() -> None:
    frame = TRAIN.with_columns(colour=pl.when(pl.col("code") == 0).then(None).otherwise("colour"))
    frame = frame.with_columns(colour=pl.when(pl.col("colour").is_null()).then(None).otherwise(pl.lit("known")))
    assert fit_baseline(frame, numeric=(), categories=("colour",)).levels["colour"] == ("known", None)


def test_one_class_in_training_is_refused() -> None:
    with pytest.raises(EvaluationError, match="the train split"):
        fit_baseline(TRAIN.with_columns(label=pl.lit(0, dtype=pl.Int8)), numeric=NUMERIC, categories=())
