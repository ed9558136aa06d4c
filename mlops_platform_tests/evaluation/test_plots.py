"""The pictures: there, small, and drawn for the odd cases too."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops_platform.evaluation.plots import FILES, Pictures, draw
from mlops_platform.scoring.metrics import Scores, calibration_table, measure

LABELS = (np.random.default_rng(0).random(400) < 0.3).astype(np.int8)
SCORES = np.clip(np.random.default_rng(1).random(400) * 0.6 + 0.3 * LABELS, 0, 1)
EPOCHS = [{"epoch": i, "train_loss": 0.6 - i / 50, "validation_loss": 0.62, "validation_auc": 0.7} for i in range(3)]


def _pictures(scores: dict[str, Scores], slices: dict[str, Any], epochs: list[dict[str, Any]]) -> Pictures:
    nothing = dict.fromkeys(("roc_auc", "calibration_error"))
    report = {
        "model": "tiny",
        "holdout": {"rows": 400, "positive_rate": 0.3, "first_event": "2024-03-01T00", "last_event": "2024-03-09T00"},
        "metrics": {"challenger": nothing, **{name: measure(LABELS, values) for name, values in scores.items()}},
        "calibration": {name: [vars(b) for b in calibration_table(LABELS, v)] for name, v in scores.items()},
        "slices": slices,
    }
    return Pictures(report=report, labels=LABELS, scores=scores, epochs=epochs)


def _slice(value: str, auc: float | None) -> dict[str, Any]:
    return {"value": value, "rows": 200, "positives": 60, "merged": 1, "metrics": {"challenger": {"roc_auc": auc}}}


@pytest.mark.parametrize(
    "pictures",
    [
        _pictures({"challenger": SCORES, "champion": SCORES[::-1], "baseline": SCORES**2},
                  {"place": [_slice("x", 0.8), _slice("y", None)], "hour": [_slice("1", 0.31)]}, EPOCHS),
        _pictures({"challenger": SCORES}, {}, EPOCHS[:1]),
        _pictures({}, {"place": [_slice("x", None)]}, []),
        _pictures({"challenger": np.full(400, 0.3)}, {"place": [_slice(str(i), 0.5) for i in range(60)]}, EPOCHS),
    ],
    ids=["three models", "no slices, one epoch", "no scores", "constant score, many slices"],
)  # fmt: skip
def test_pictures_are_whole_and_small(pictures: Pictures, tmp_path: Path) -> None:
    draw(pictures, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)
    for path in tmp_path.iterdir():
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG") and 3_000 < len(data) < 80_000
        assert b"Software" not in data and b"tIME" not in data
