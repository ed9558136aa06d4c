"""Labels that cannot be judged are refused; slices cover every row."""

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as sklearn_metrics

from mlops_platform.evaluation.classes import require_two_classes
from mlops_platform.evaluation.errors import EvaluationError
from mlops_platform.evaluation.slices import MERGED, MISSING, slice_metrics


@pytest.mark.parametrize("labels", [[], [0, 0], [1]])
def test_one_class_is_refused_with_its_counts(labels: list[int]) -> None:
    with pytest.raises(EvaluationError, match=f"{len(labels)} rows, {sum(labels)} of them positive"):
        require_two_classes(np.array(labels, dtype=np.int8), where="the holdout")


def test_slices_cover_every_row_and_small_ones_are_merged() -> None:
    column = pl.Series(["b"] * 40 + ["a"] * 30 + [None] * 20 + ["c"] * 6 + ["d"] * 4)
    labels = np.arange(100, dtype=np.int8) % 2
    labels[40:70] = 0
    scores = {"challenger": np.linspace(0.1, 0.9, 100), "baseline": np.full(100, 0.5)}
    slices = slice_metrics(column, labels, scores, smallest=20)
    found = [(s.value, s.rows, s.merged) for s in slices]
    assert found == [("a", 30, 1), ("b", 40, 1), (MISSING, 20, 1), (MERGED, 10, 2)]
    one_class = slices[0].metrics["challenger"]
    assert one_class["roc_auc"] is None and one_class["average_precision"] is None
    assert one_class["log_loss"] is not None and slices[0].positives == 0
    expected = sklearn_metrics.roc_auc_score(labels[:40], scores["challenger"][:40])
    assert slices[1].metrics["challenger"]["roc_auc"] == pytest.approx(expected)


def test_slices_of_numbers_are_in_numeric_order() -> None:
    column = pl.Series([10, 9, 2] * 5)
    slices = slice_metrics(column, np.zeros(15, dtype=np.int8), {"challenger": np.full(15, 0.5)}, smallest=1)
    assert [s.value for s in slices] == ["2", "9", "10"]
