"""The congestion model's mean absolute error on November 2013 is below that of persistence and of the hour of the week.

Claim: forecasting each origin's mean departure delay in the next six hours, the network that passed through the
platform's own pipeline has a lower mean absolute error on November 2013 than each of its peers; both differences hold
with 95 % confidence when whole days are redrawn.
Peer: persistence (the mean delay of the last hour, or else of the last three, or 24) and the mean of the train rows by
origin and hour of the week, as ``evaluation.forecasts`` fits them. For honesty, stronger readings stand beside them:
the median by origin and hour of the week, and a gradient boosting of the same inputs, row by row
(``sklearn.ensemble.HistGradientBoostingRegressor(loss="absolute_error", max_iter=300, learning_rate=0.06)``, one for
each hour ahead, on the same train rows).
Measured: the pipeline lands through November and materializes up to the evaluation in an empty home (``--home`` takes
one that is materialized already, and only reads it); the figures are of the evaluation's own ``scores.parquet``.
"""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.costs import QUIET

os.environ |= QUIET

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingRegressor

from benchmarks.homes import fresh, land, load, materialize
from benchmarks.tables import table
from mlops_platform.evaluation.bootstrap import drawn_together, paired_difference
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.scoring import Scorer
from mlops_platform.scoring.forecasts import by_step, measure

STATION = "flights/airport_congestion"
SEASON = ("hour_of_week", "origin")
CLAIMED = 2
"""How many of the peers the claim is about: the first ones."""


def medians(home: Home, horizon: int) -> np.ndarray:
    """Forecasts [N, H] of the holdout: the median of the train rows by origin and hour of the week."""
    dataset = Refs(home).read(f"{STATION}/dataset")
    train, holdout = (pl.read_parquet(dataset.file(f"{part}.parquet")) for part in ("train", "holdout"))
    names = [f"step_{step}" for step in range(horizon)]
    steps = [pl.col("label").arr.get(step).alias(name) for step, name in enumerate(names)]
    table = train.select(*SEASON, *steps).group_by(SEASON).agg(pl.col(names).median())
    found = holdout.select(SEASON).join(table, on=list(SEASON), how="left", maintain_order="left")
    overall = np.nanmedian(train["label"].to_numpy(), axis=0).tolist()
    return found.select(pl.col(n).fill_null(o) for n, o in zip(names, overall, strict=True)).to_numpy()


def boosted(home: Home) -> np.ndarray:
    """Forecasts [N, H] of the holdout by gradient boosting of what the network reads of a row."""
    found = Refs(home).read(f"{STATION}/dataset")
    train, holdout = (pl.read_parquet(found.file(f"{part}.parquet")) for part in ("train", "holdout"))
    scorer = Scorer.load(Refs(home).read(f"{STATION}/checkpoint"))
    inputs, asked = (np.hstack(scorer.encode(part)) for part in (train, holdout))
    columns = []
    for label in train["label"].to_numpy().T:
        known = np.isfinite(label)
        model = HistGradientBoostingRegressor(loss="absolute_error", max_iter=300, learning_rate=0.06, random_state=0)
        columns.append(model.fit(inputs[known], label[known]).predict(asked))
    return np.stack(columns, axis=1)


def report(home: Home) -> bool:
    """Prints the models side by side; whether the claim held."""
    scores = pl.read_parquet(Refs(home).read(f"{STATION}/evaluation").file("scores.parquet"))
    labels = scores["label"].to_numpy()
    models: Mapping[str, np.ndarray] = {
        "network": scores["challenger"].to_numpy(),
        "persistence": scores["persistence"].to_numpy(),
        "mean of the hour of the week": scores["season"].to_numpy(),
        "median of the hour of the week": medians(home, labels.shape[1]),
        "HistGradientBoosting, absolute error": boosted(home),
    }
    rows = []
    for name, values in models.items():
        ahead = [f"{step.mae:.2f}" for step in by_step(labels, values)]
        rows.append((name, f"{measure(labels, values)['mae']:.2f}", *ahead))
    heading = [f"{step} h ahead" for step in range(1, labels.shape[1] + 1)]
    print(f"{scores.height:,} rows from {scores['event_timestamp'].min()}, mean absolute error in minutes\n")
    print(table(("on the holdout", "all", *heading), rows), "\n")
    held = True
    for place, name in enumerate(list(models)[1:]):
        found = paired_difference(labels, models["network"], models[name], metric="mae", groups=drawn_together(scores))
        print(f"better than {name} by {found.gain:.2f}, with 95 % confidence by at least {found.gain_lower:.2f}")
        held &= found.gain_lower > 0 or place >= CLAIMED
    print(f"\nclaim: {'held' if held else 'MISSED'}", flush=True)
    return held


def main() -> int:
    """Exit code 1 if the claim is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.congestion", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--home", type=Path, help="a home that is materialized through November; it is only read")
    arguments = parser.parse_args()
    if arguments.home is not None:
        return 0 if report(Home(arguments.home)) else 1
    with fresh() as home:
        land(home, "2013-11")
        materialize(home, load(), f'+key:"{STATION}/evaluation"')
        return 0 if report(home) else 1


if __name__ == "__main__":
    sys.exit(main())
