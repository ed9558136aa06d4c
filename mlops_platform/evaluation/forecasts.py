"""What is particular to the evaluation of a forecast: the two simple forecasters it must beat, and its report."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from mlops_platform.evaluation.errors import EvaluationError
from mlops_platform.scoring.forecasts import by_step
from mlops_platform.scoring.metrics import Labels, Scores
from mlops_platform.spec import Forecast

_STEP = "_step_{}"


@dataclass(frozen=True, kw_only=True)
class Persistence:
    """What is now will stay: the last known value, for every step.

    Attributes:
        columns: The first that is not null tells it.
        otherwise: Mean of the train labels, for rows where all are null.
        horizon: Steps.
    """

    columns: tuple[str, ...]
    otherwise: float
    horizon: int

    def score(self, frame: pl.DataFrame) -> npt.NDArray[np.float32]:
        """Forecasts [N, H], float32."""
        last = pl.coalesce(pl.col(name).cast(pl.Float32) for name in self.columns)
        values = frame.select(last.fill_nan(None).fill_null(self.otherwise)).to_series().to_numpy()
        return np.repeat(values[:, None], self.horizon, axis=1)


@dataclass(frozen=True, kw_only=True)
class SeasonalMean:
    """As it always is at this time: the mean of the train rows of a season, by step.

    Attributes:
        tables: One for all columns of the season, one without its last, and so on: the columns and a mean a step.
        otherwise: Mean of all train rows, by step.
    """

    tables: tuple[pl.DataFrame, ...]
    otherwise: tuple[float, ...]

    def score(self, frame: pl.DataFrame) -> npt.NDArray[np.float32]:
        """Forecasts [N, H], float32."""
        names = [_STEP.format(step) for step in range(len(self.otherwise))]
        found = frame.select(pl.lit(None, dtype=pl.Float64).alias(name) for name in names)
        for table in self.tables:
            keys = [name for name in table.columns if name not in names]
            asked = frame.select(keys).join(table, on=keys, how="left", nulls_equal=True, maintain_order="left")
            found = found.select(pl.coalesce(pl.col(name), asked[name]) for name in names)
        means = dict(zip(names, self.otherwise, strict=True))
        return found.select(pl.col(n).fill_null(mean).cast(pl.Float32) for n, mean in means.items()).to_numpy()


def fit_forecasters(train: pl.DataFrame, task: Forecast) -> dict[str, Persistence | SeasonalMean]:
    """Learns the simple forecasters from train rows, by the names of ``Forecast.baselines``.

    Args:
        train: The columns of the task, and ``label`` (Array of Float32, null elements where unknown).
        task: The declaration.

    Raises:
        EvaluationError: Nothing is known of a step.
    """
    label = train["label"].to_numpy().astype(np.float64)
    require_known(label, where="the train split")
    names = [_STEP.format(step) for step in range(task.horizon)]
    steps = [pl.col("label").arr.get(step).cast(pl.Float64).alias(name) for step, name in enumerate(names)]
    rows = train.select(*dict.fromkeys(task.season), *steps)
    seasons = [list(task.season[:count]) for count in range(len(task.season), 0, -1)]
    # Sorted before it is averaged, so that equal rows give equal bits whatever their order.
    tables = tuple(
        rows.sort(pl.all()).group_by(keys, maintain_order=True).agg(pl.col(names).mean()) for keys in seasons
    )
    return {
        "persistence": Persistence(
            columns=task.persistence, otherwise=float(np.nanmean(label)), horizon=task.horizon
        ),
        "season": SeasonalMean(tables=tables, otherwise=tuple(float(mean) for mean in np.nanmean(label, axis=0))),
    }  # fmt: skip


def require_known(labels: Labels, *, where: str) -> None:
    """Refuses labels of which a step is never known.

    Raises:
        EvaluationError: There are no rows, or nothing is known of a step.
    """
    known = np.isfinite(labels).sum(axis=0)
    if len(labels) == 0 or not known.all():
        raise EvaluationError(
            required=f"known labels of every step in {where}", found=f"{len(labels)} rows, by step {known.tolist()}",
            remedy="choose a longer span for it in Model.split, or land more data",
        )  # fmt: skip


def forecast_parts(task: Forecast, labels: Labels, compared: Mapping[str, Scores]) -> dict[str, Any]:
    """The parts of a report that only a forecast has: the task, and the metrics by step ahead of each model."""
    steps = {name: [asdict(step) for step in by_step(labels, scores)] for name, scores in compared.items()}
    return {**task.recipe(), "steps": steps}


def forecast_extent(labels: Labels) -> dict[str, Any]:
    """What the labels of a holdout tell at a glance."""
    known = np.isfinite(labels)
    return {"known": int(known.sum()), "known_rate": float(known.mean()), "mean_label": float(np.nanmean(labels))}
