"""The tiniest sequences: tills whose queue grows with what came in over the last three hours."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from mlops_platform.spec import Network, Sequence
from mlops_platform.training.job import CONTEXT, HOLDOUT, TRAIN, VALIDATION, Device, Job

START = datetime(2024, 1, 1, tzinfo=UTC)
NUMERIC, CATEGORIES = ("came",), ("weather",)
NETWORKS = "mlops_platform_tests.training.recurrences"


def hours(first: int, lengths: Mapping[str, int], seed: int) -> pl.DataFrame:
    """So many hours of each till from an hour on, in any order; whether the queue was long then."""
    chance = np.random.default_rng(seed)
    tills = []
    for till, count in lengths.items():
        came = chance.normal(size=count)
        tills.append(
            pl.DataFrame(
                {
                    "till": [till] * count,
                    "event_timestamp": [START + timedelta(hours=first + hour) for hour in range(count)],
                    "came": came,
                    "weather": chance.choice(["dry", "wet"], count),
                    "label": pl.Series(np.convolve(came, np.ones(3))[:count] > 0).cast(pl.Int8),
                }
            )
        )
    return pl.concat(tills).sample(fraction=1.0, shuffle=True, seed=seed)


def network(
    name: str = "Gated", *, window: int | None = 16, parallel: int | None = None, **parameters: float
) -> Network:
    """A network of sequences with a short recipe."""
    return Network(
        module=f"{NETWORKS}:{name}", parameters=parameters, epochs=3, learning_rate=0.02, seed=5,
        sequence=Sequence(entity=("till",), window=window, parallel=parallel),
    )  # fmt: skip


def job(folder: Path, net: Network) -> Job:
    """Three tills, one of which opened later: 100 hours to train on, 8 left out, 40 of validation, 30 of holdout."""
    train = pl.concat([hours(0, {"b": 100, "a": 100}, 1), hours(60, {"c": 40}, 2)])
    gap, validation = hours(100, {"a": 8, "b": 8, "c": 8}, 3), hours(108, {"c": 40, "b": 40, "a": 40}, 4)
    holdout = hours(148, {"b": 30, "a": 30, "new": 20}, 6)
    for name, part in ((TRAIN, train), (CONTEXT, gap.drop("label")), (VALIDATION, validation), (HOLDOUT, holdout)):
        part.write_parquet(folder / name)
    output = folder / "output"
    output.mkdir()
    return Job(
        train=folder / TRAIN, validation=folder / VALIDATION, context=folder / CONTEXT, output=output,
        holdout=folder / HOLDOUT, numeric=NUMERIC, categories=CATEGORIES, network=net, device=Device(threads=1),
    )  # fmt: skip
