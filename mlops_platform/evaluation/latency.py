"""How long a model takes for one row, here and now."""

import time
from statistics import median

import polars as pl

from mlops_platform.resources.artifacts import Artifact
from mlops_platform.scoring import Scorer

_WARM, _CALLS = 20, 200


def milliseconds_per_row(checkpoint: Artifact, row: pl.DataFrame) -> float:
    """Median time to encode and score one row in this process, as serving does it, after a warm-up.

    It differs between machines and between calls: a station records it as measured, never as content.
    """
    scorer = Scorer.load(checkpoint)
    times = []
    for _ in range(_WARM + _CALLS):
        begun = time.perf_counter()
        scorer.score(row)
        times.append(time.perf_counter() - begun)
    return 1000 * median(times[_WARM:])
