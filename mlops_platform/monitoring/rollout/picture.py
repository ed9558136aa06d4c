"""The picture of a rollout: how much better the challenger is, with the confidence sequence, look by look.

Matplotlib is imported where it is used: it is slow to load, and only a new finding draws. Equal findings give equal
bytes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_GAIN, _ZERO, _LIMIT = "#d9822b", "#24292f", "#cf222e"


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Writes a PNG.

    Args:
        report: Its ``looks``, ``metric``, ``margin``, ``verdict``, ``model``, ``version`` and ``champion`` are drawn.
        path: Where to.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    looks = report["looks"]
    rows = [look["rows"] for look in looks]
    axes.fill_between(rows, [look["lower"] for look in looks], [look["upper"] for look in looks], color=_GAIN,
                      alpha=0.2, linewidth=0, label="confidence sequence")  # fmt: skip
    axes.errorbar(rows[-1:], [looks[-1]["gain"]], color=_GAIN, capsize=4, yerr=[
        [looks[-1]["gain"] - looks[-1]["lower"]], [looks[-1]["upper"] - looks[-1]["gain"]]])  # fmt: skip
    axes.plot(rows, [look["gain"] for look in looks], color=_GAIN, marker="o", markersize=4, label="gain")
    axes.axhline(0, color=_ZERO, linewidth=1, label="as good as the champion")
    axes.axhline(-report["margin"], color=_LIMIT, linewidth=1, linestyle=(0, (4, 3)), label="margin")
    axes.set(xlabel="Labelled questions that both versions answered", ylabel=f"Better by ({report['metric']})")
    axes.legend(frameon=False, fontsize=8)
    about = f"{report['model']} version {report['version']} beside champion {report['champion']}"
    figure.suptitle(f"{about}: {report['verdict']}", fontsize=11)
    figure.savefig(path, format="png", dpi=100, metadata={"Software": None})
