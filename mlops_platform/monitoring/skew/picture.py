"""The picture of a skew report: by feature the share of rows that differ, and up to how much that may be of all rows.

Matplotlib is imported where it is used: it is slow to load, and only a new report draws. Equal reports give equal
bytes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FOUND, _BOUND, _LIMIT = "#d9822b", "#57606a", "#cf222e"
_MOST = 30


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Writes a PNG.

    Args:
        report: Its ``features``, ``rows``, ``holdout_rows``, ``model`` and ``max_mismatch`` are drawn; of many features
            those that differ most.
        path: Where to.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = sorted(report["features"], key=lambda each: (-each["rate"], each["name"]))[:_MOST][::-1]
    figure = Figure(figsize=(9.6, 1.6 + 0.24 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    places, rates = range(len(shown)), [each["rate"] for each in shown]
    beyond = [each["upper"] - each["rate"] for each in shown]
    axes.barh(places, rates, color=_FOUND, label="rows that differ")
    axes.barh(places, beyond, left=rates, height=0.12, color=_BOUND, label="of all rows at most (95%)")
    if report["max_mismatch"]:
        axes.axvline(report["max_mismatch"], color=_LIMIT, linewidth=1, linestyle=(0, (4, 3)), label="limit")
    axes.set_yticks(places, [each["name"] for each in shown], fontsize=8)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.2%}")
    axes.set_xlim(0, None)
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=3)
    told = f"{report['rows']:,} of {report['holdout_rows']:,} holdout rows asked online, {report['moments']} moments"
    figure.suptitle(f"{report['model']}: {told}", fontsize=11)
    figure.savefig(path, format="png", dpi=100, metadata={"Software": None})
