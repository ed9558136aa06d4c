"""The pictures of a forecast's evaluation: error by step ahead and by hour of the day, and a week beside the truth."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mlops_platform.evaluation.plots import (
    COLOURS,
    INK,
    NAMES,
    Painter,
    Pictures,
    learning_curve,
    legend,
    new_figure,
    title,
    width_of,
)
from mlops_platform.scoring.forecasts import measure
from mlops_platform.spec import Forecast, duration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WEEK = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class ForecastPictures(Pictures):
    """What the pictures show; labels and scores are float [N, H].

    Attributes:
        task: The declaration.
        times: Prediction time of each row [N], in the model's calendar.
        whose: Entity of each row [N], as text.
    """

    task: Forecast
    times: pl.Series
    whose: pl.Series

    @property
    def subtitle(self) -> str:
        """Which model, on which rows."""
        extent = self.report["holdout"]
        days = f"{extent['first_event'][:10]} to {extent['last_event'][:10]}"
        return f"{self.report['model']}, holdout {days}: {extent['rows']:,} rows, {extent['known']:,} known labels"

    @property
    def drawn(self) -> list[str]:
        """Models from the back to the front."""
        return [model for model in ("season", "persistence", "champion", "challenger") if model in self.scores]

    def name(self, model: str) -> str:
        """A model with its mean absolute error."""
        value = self.report["metrics"][model]["mae"]
        return NAMES[model] if value is None else f"{NAMES[model]}  {value:.3g}"


def _steps(pictures: ForecastPictures) -> "Figure":
    figure = new_figure(6.4, 4.2)
    axes = figure.add_subplot()
    for model in pictures.drawn:
        steps = [step for step in pictures.report["steps"][model] if step["mae"] is not None]
        axes.plot([step["step"] for step in steps], [step["mae"] for step in steps], color=COLOURS[model], marker="o",
                  markersize=4, linewidth=width_of(model), label=pictures.name(model))  # fmt: skip
    axes.set(xlabel=f"Step ahead, each of {pictures.task.step}",
             ylabel=f"Mean absolute error ({pictures.task.unit})", ylim=(0, None))  # fmt: skip
    axes.set_xticks(range(1, pictures.task.horizon + 1))
    legend(axes, "Mean absolute error", "lower right")
    title(axes, "Error by step ahead", pictures.subtitle)
    return figure


def _hours(pictures: ForecastPictures) -> "Figure":
    figure = new_figure(6.4, 4.2)
    axes = figure.add_subplot()
    hour = pictures.times.dt.hour().to_numpy()
    for model in pictures.drawn:
        parts = {at: measure(pictures.labels[hour == at], pictures.scores[model][hour == at]) for at in np.unique(hour)}
        known = {int(at): part["mae"] for at, part in parts.items() if part["mae"] is not None}
        axes.plot(list(known), list(known.values()), color=COLOURS[model], marker="o", markersize=3.5,
                  linewidth=width_of(model), label=pictures.name(model))  # fmt: skip
    axes.set(xlabel="Hour of the day at which the forecast was made", xlim=(-0.5, 23.5), ylim=(0, None),
             ylabel=f"Mean absolute error ({pictures.task.unit})")  # fmt: skip
    legend(axes, "Mean absolute error", "upper left")
    title(axes, "Error by hour of the day", pictures.subtitle)
    return figure


def _week(pictures: ForecastPictures) -> "Figure":
    """The truth beside what was forecast of it one step before and as many as there are."""
    horizon = pictures.task.horizon
    ahead = dict.fromkeys((1, horizon))
    figure = new_figure(9.6, 1.2 + 2.4 * len(ahead))
    panels = figure.subplots(len(ahead), 1, sharex=True, squeeze=False)[:, 0]
    whose = pictures.whose.value_counts(sort=True).sort("count", pictures.whose.name, descending=[True, False])[0, 0]
    first = pictures.times.min()
    assert first is not None
    rows = ((pictures.whose == whose) & (pictures.times - first < _WEEK)).arg_true().to_numpy()
    rows = rows[np.argsort(pictures.times.to_physical().to_numpy()[rows], kind="stable")]
    for axes, step in zip(panels, ahead, strict=True):
        of_step = pictures.times.gather(rows) + (step - 1) * duration(pictures.task.step)
        at = of_step.dt.replace_time_zone(None).to_list()
        axes.plot(at, pictures.labels[rows, step - 1], color=INK, linewidth=1.2, label="Truth")
        for model in pictures.drawn:
            if model != "season":
                axes.plot(at, pictures.scores[model][rows, step - 1], color=COLOURS[model], linewidth=1.2,
                          label=NAMES[model])  # fmt: skip
        axes.set_ylabel(f"{step} ahead ({pictures.task.unit})")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    title(panels[0], f"A week of {whose}", pictures.subtitle)
    return figure


PAINTERS: Mapping[str, Painter] = {
    "steps.png": _steps,
    "week.png": _week,
    "hours.png": _hours,
    "learning_curve.png": learning_curve,
}
