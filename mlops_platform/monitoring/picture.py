"""The picture of a monitoring report: the metric week by week beside what was expected, and calibration or steps.

Matplotlib is imported where it is used: it is slow to load, and only a new report draws. Equal reports give
equal bytes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_platform.spec import LOWER_IS_BETTER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LIVE, _EXPECTED, _LIMIT, _FAINT = "#d9822b", "#24292f", "#cf222e", "#d0d7de"
_MOST_NAMED = 8


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Writes a PNG.

    Args:
        report: Its ``quality``, ``weeks``, ``calibration`` or ``steps``, ``model`` and ``version`` are drawn.
        path: Where to.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    weeks, calibration = figure.subplots(1, 2, width_ratios=(3, 2))
    _weeks(weeks, report)
    (_steps if "steps" in report else _calibration)(calibration, report)
    figure.suptitle(f"{report['model']} version {report['version']}, labelled predictions", fontsize=11)
    figure.savefig(path, format="png", dpi=100, metadata={"Software": None})


def _weeks(axes: "Axes", report: Mapping[str, Any]) -> None:
    quality, weeks = report["quality"], report["weeks"]
    places = range(len(weeks))
    # A week without both classes leaves a gap.
    values = [float("nan") if week["value"] is None else week["value"] for week in weeks]
    axes.plot(places, values, color=_LIVE, marker="o", markersize=4, label="live, by week")
    if quality["lower"] is not None:
        judged = f"newest {quality['window']}" if quality["window"] else "all weeks"
        axes.axhspan(quality["lower"], quality["upper"], color=_LIVE, alpha=0.15, label=f"live, {judged}, bounds")
    if quality["expected"] is not None:
        drop = quality["max_drop"] * (1 if quality["metric"] in LOWER_IS_BETTER else -1)
        axes.axhline(quality["expected"], color=_EXPECTED, linewidth=1, label="evaluation")
        axes.axhline(quality["expected"] + drop, color=_LIMIT, linewidth=1, linestyle=(0, (4, 3)), label="limit")
    step = -(-len(weeks) // _MOST_NAMED)
    axes.set_xticks(places[::step], [week["week"] for week in weeks][::step], rotation=30, ha="right", fontsize=8)
    axes.set(ylabel=quality["metric"], xlabel="Week beginning on")
    axes.legend(frameon=False, fontsize=8)


def _calibration(axes: "Axes", report: Mapping[str, Any]) -> None:
    table = report["calibration"]
    scores, rates = [row["mean_score"] for row in table], [row["positive_rate"] for row in table]
    top = max(*scores, *rates, 0.01) * 1.08
    axes.plot([0, top], [0, top], color=_FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axes.plot(scores, rates, color=_LIVE, marker="o", markersize=4)
    axes.set(xlabel="Predicted probability (bins of equal rows)", ylabel="Observed positive rate", xlim=(0, top),
             ylim=(0, top))  # fmt: skip


def _steps(axes: "Axes", report: Mapping[str, Any]) -> None:
    known = [step for step in report["steps"] if step["mae"] is not None]
    axes.plot([step["step"] for step in known], [step["mae"] for step in known], color=_LIVE, marker="o", markersize=4)
    axes.set(xlabel="Step ahead", ylabel="Mean absolute error", ylim=(0, None))
    axes.set_xticks(range(1, len(report["steps"]) + 1))
