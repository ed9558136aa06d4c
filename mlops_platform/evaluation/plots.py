"""The pictures of an evaluation: ROC curve, reliability diagram, learning curve, metric by slice.

Matplotlib is imported where it is used: it is slow to load, and only a new evaluation draws. Equal inputs give equal
bytes, since the files say nothing of when or by what they were made.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.metrics import roc_curve

from mlops_platform.scoring.metrics import Labels, Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"challenger": "#1f6fb4", "champion": "#d9822b", "baseline": "#8a8f98", "persistence": "#8a8f98",
           "season": "#8250df"}  # fmt: skip
NAMES = {"challenger": "Challenger", "champion": "Champion", "baseline": "Logistic regression",
         "persistence": "Persistence", "season": "Seasonal mean"}  # fmt: skip
INK, FAINT = "#24292f", "#d0d7de"
FILES = ("roc.png", "calibration.png", "learning_curve.png", "slices.png")
"""Of a binary classifier."""
Painter = Callable[[Any], "Figure"]
_DPI = 110
_COLOURS_KEPT = 64
_MOST_BARS = 40
_MOST_POINTS = 400
_MARKS: dict[str, dict[str, Any]] = {
    "baseline": {"linestyle": "", "marker": "|", "markersize": 10, "markeredgewidth": 2},
    "champion": {"linestyle": "", "marker": "D", "markersize": 5, "markeredgewidth": 0.8, "markeredgecolor": "white"},
}
_STYLE: Any = {
    "font.family": "DejaVu Sans", "font.size": 9, "text.color": INK, "axes.edgecolor": "#8a8f98",
    "axes.labelcolor": INK, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#eaeef2", "axes.axisbelow": True, "xtick.color": INK, "ytick.color": INK,
    "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left", "legend.frameon": False,
    "figure.facecolor": "white",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What the pictures show.

    Attributes:
        report: Of the evaluation.
        labels: int8 [N].
        scores: Probabilities [N] of each model that has them.
        epochs: Of the challenger's training: ``epoch``, ``train_loss``, ``validation_loss`` and the task's figure.
    """

    report: Mapping[str, Any]
    labels: Labels
    scores: Mapping[str, Scores]
    epochs: Sequence[Mapping[str, Any]]

    @property
    def subtitle(self) -> str:
        """Which model, on which rows."""
        extent = self.report["holdout"]
        days = f"{extent['first_event'][:10]} to {extent['last_event'][:10]}"
        rows = f"{extent['rows']:,} rows, {extent['positive_rate']:.1%} positive"
        return f"{self.report['model']}, holdout {days}: {rows}"


def draw(pictures: Pictures, folder: Path, painters: Mapping[str, Painter] | None = None) -> None:
    """Writes pictures into a folder: those of ``FILES``, or others, by the names of their files."""
    import matplotlib as mpl

    usual = dict(zip(FILES, (_roc, _calibration, learning_curve, _slices), strict=True))
    with mpl.rc_context(_STYLE):
        for name, painter in (usual if painters is None else painters).items():
            _save(painter(pictures), folder / name)


def _save(figure: "Figure", path: Path) -> None:
    """Writes a PNG of few colours, a third as large: it travels inside the events of the UI."""
    from PIL import Image

    with BytesIO() as drawn:
        figure.savefig(drawn, format="png", dpi=_DPI, metadata={"Software": None})
        Image.open(drawn).convert("RGB").quantize(_COLOURS_KEPT, dither=Image.Dither.NONE).save(path)


def new_figure(width: float, height: float) -> "Figure":
    """A figure without the global state of pyplot; it draws with Agg."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def title(axes: "Axes", text: str, subtitle: str) -> None:
    """Puts a heading over axes, and a line under it."""
    axes.set_title(text, pad=20)
    axes.annotate(subtitle, (0, 1), xytext=(0, 7), xycoords="axes fraction", textcoords="offset points", fontsize=8,
                  color="#57606a")  # fmt: skip


def _label(pictures: Pictures, model: str, metric: str) -> str:
    value = pictures.report["metrics"][model][metric]
    return NAMES[model] if value is None else f"{NAMES[model]}  {value:.3f}"


def _roc(pictures: Pictures) -> "Figure":
    figure = new_figure(5.6, 5.2)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    for model in _drawn(pictures):
        false_positive, true_positive, _ = roc_curve(pictures.labels, pictures.scores[model])
        at = np.unique(np.linspace(0, len(false_positive) - 1, _MOST_POINTS).astype(int))
        axes.plot(false_positive[at], true_positive[at], color=COLOURS[model], linewidth=width_of(model),
                  label=_label(pictures, model, "roc_auc"))  # fmt: skip
    axes.set(xlabel="False positive rate", ylabel="True positive rate", xlim=(0, 1), ylim=(0, 1.005))
    axes.set_aspect("equal")
    legend(axes, "Area under the curve", "lower right")
    title(axes, "ROC curve", pictures.subtitle)
    return figure


def _calibration(pictures: Pictures) -> "Figure":
    figure = new_figure(5.6, 5.8)
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    tables = {model: pictures.report["calibration"][model] for model in _drawn(pictures)}
    points = [max(row["mean_score"], row["positive_rate"]) for table in tables.values() for row in table]
    top = min(1.0, max(points, default=1.0) * 1.08)
    axes.plot([0, top], [0, top], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    for model, table in tables.items():
        axes.plot([row["mean_score"] for row in table], [row["positive_rate"] for row in table], color=COLOURS[model],
                  marker="o", markersize=4, linewidth=width_of(model),
                  label=_label(pictures, model, "calibration_error"))  # fmt: skip
        counts.hist(pictures.scores[model], bins=np.linspace(0, top, 61).tolist(), histtype="step",
                    color=COLOURS[model], linewidth=width_of(model))  # fmt: skip
    axes.set(ylabel="Observed positive rate", xlim=(0, top), ylim=(0, top))
    counts.set(xlabel="Predicted probability (mean of each bin of equal rows)", ylabel="Rows")
    legend(axes, "Expected calibration error", "upper left")
    title(axes, "Reliability diagram", pictures.subtitle)
    return figure


def learning_curve(pictures: Pictures) -> "Figure":
    """The losses by epoch, and the figure that the task has beside them."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(6.4, 4.2)
    axes = figure.add_subplot()
    epochs = [row["epoch"] for row in pictures.epochs]
    for name, colour, words in (("train_loss", "#8a8f98", "Train"), ("validation_loss", "#1f6fb4", "Validation")):
        axes.plot(epochs, [row[name] for row in pictures.epochs], color=colour, marker="o", markersize=3.5, label=words)
    forecast = "task" in pictures.report
    figure_name, words = ("validation_mae", "MAE") if forecast else ("validation_auc", "ROC AUC")
    axes.set(xlabel="Epoch", ylabel="Loss (standard deviations)" if forecast else "Loss (nats a row)")
    area = axes.twinx()
    area.plot(epochs, [row[figure_name] for row in pictures.epochs], color="#2da44e", marker="s", markersize=3.5,
              linestyle=(0, (5, 2)), label=f"Validation {words} (right)")  # fmt: skip
    area.set_ylabel(words)
    area.spines["right"].set_visible(True)
    area.grid(visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    lines = [*axes.get_lines(), *area.get_lines()]
    figure.legend(lines, [str(line.get_label()) for line in lines], loc="outside lower center", ncols=3)
    title(axes, "Learning curve", f"{pictures.report['model']}, challenger")
    return figure


def _slices(pictures: Pictures) -> "Figure":
    slices = {column: parts[:_MOST_BARS] for column, parts in pictures.report["slices"].items()}
    heights = [max(len(parts), 1) for parts in slices.values()] or [1]
    figure = new_figure(6.4, 1.6 + 0.24 * sum(heights) + 0.5 * len(heights))
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    low, high = _bounds(slices)
    for axes, (column, parts) in zip(panels, slices.items(), strict=False):
        _slice_panel(axes, column, parts, pictures.report["metrics"], low)
    panels[-1].set(xlabel="ROC AUC (dashed: all rows; rows of each slice in brackets)", xlim=(low, high))
    figure.align_ylabels(panels)
    title(panels[0], "ROC AUC by slice", pictures.subtitle)
    handles, names = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles[::-1], names[::-1], loc="outside lower center", ncols=len(names))
    return figure


def _slice_panel(axes: "Axes", column: str, parts: Sequence[Mapping[str, Any]], overall: Mapping[str, Any],
                 low: float) -> None:  # fmt: skip
    """Bars of the challenger from the left edge, marks of the others, slices from top to bottom."""
    places = np.arange(len(parts))
    for model in ("challenger", "baseline", "champion"):
        values = np.array([part["metrics"].get(model, {}).get("roc_auc") for part in parts], dtype=np.float64)
        where, values = places[np.isfinite(values)], values[np.isfinite(values)]
        if not len(values):
            continue
        if model == "challenger":
            axes.barh(where, values - low, left=low, height=0.68, color="#a9cbea", label=NAMES[model])
        else:
            axes.plot(values, where, color=COLOURS[model], label=NAMES[model], **_MARKS[model])
    if overall["challenger"]["roc_auc"] is not None:
        axes.axvline(overall["challenger"]["roc_auc"], color=INK, linewidth=0.9, linestyle=(0, (3, 2)))
    axes.set_yticks(places, [f"{part['value']}  ({part['rows']:,})" for part in parts])
    axes.set(ylim=(len(parts) - 0.4, -0.6), ylabel=column)
    axes.grid(axis="y", visible=False)


def _bounds(slices: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[float, float]:
    """Edges of the axis: from 0.5, the area of a coin, or lower where a slice is worse, to just past the best."""
    found = [m["roc_auc"] for parts in slices.values() for part in parts for m in part["metrics"].values()]
    values = [value for value in found if value is not None]
    worst, best = min(values, default=0.5), max(values, default=1.0)
    low = 0.5 if worst > 0.5 else max(0.0, float(np.floor(worst * 20) / 20 - 0.05))
    return low, best + 0.04 * (best - low) if best > low else 1.0


def _drawn(pictures: Pictures) -> list[str]:
    """Models from the back to the front."""
    return [model for model in ("baseline", "champion", "challenger") if model in pictures.scores]


def width_of(model: str) -> float:
    """Of its line."""
    return 2.0 if model == "challenger" else 1.4


def legend(axes: "Axes", title: str, place: Literal["lower right", "upper left"]) -> None:
    """Names the lines, front to back."""
    handles, names = axes.get_legend_handles_labels()
    if handles:
        axes.legend(handles[::-1], names[::-1], title=title, loc=place, alignment="left")
