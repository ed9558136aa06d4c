"""What a training spent, as the manifest, Dagster and MLflow are told it."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_platform.training.attempts import LOST, PARTS, Attempt, spent

GOODPUT = "goodput"
_HOUR = 3600.0
_SUMMED = ("cpu_seconds", "device_samples", "device_busy", "energy_joules")
_TOLD = {
    "startup": "start-up, from the process's start to the first step",
    "data": "waiting for batches",
    "step": "training steps",
    "checkpoint": "steps held up by saves",
    "evaluation": "validation",
    "export": "export",
    "other": "other",
    LOST: "work that was lost and done again",
}

_COLOURS = {
    "startup": "tab:gray", "data": "tab:orange", "step": "tab:green", "checkpoint": "tab:purple",
    "evaluation": "tab:blue", "export": "tab:cyan", "other": "lightgray", LOST: "tab:red",
}  # fmt: skip


def measured(finished: Mapping[str, Any], price: float | None) -> dict[str, Any]:
    """The figures of a training that vary between makings.

    Args:
        finished: The program's last message.
        price: Of a device hour; None where nobody knows.

    Returns:
        What the program timed of its last attempt, and of all attempts ``goodput`` (wall seconds by part, summing to
        the wall time), ``goodput_share``, ``stall_share`` (of the steps' time, held up by saves), ``attempts``,
        ``lost_steps``, ``device_seconds``, ``usage`` and, where there is a price, ``cost``.
    """
    attempts = [Attempt(**attempt) for attempt in finished["attempts"]]
    sums = spent(attempts)
    steps = sum(sums.seconds[part] for part in ("data", "step", "checkpoint"))
    told = {name: value for name, value in finished.items() if name not in ("event", "attempts")}
    cost = {"cost": sums.device_seconds / _HOUR * price} if price is not None else {}
    return {
        **told, GOODPUT: dict(sums.seconds), "goodput_share": sums.goodput,
        "stall_share": sums.seconds["checkpoint"] / steps if steps else 0.0, "attempts": sums.attempts,
        "lost_steps": sums.lost_steps, "device_seconds": sums.device_seconds, "usage": _usage(attempts), **cost,
    }  # fmt: skip


def _usage(attempts: Sequence[Attempt]) -> dict[str, float]:
    every = [attempt.usage for attempt in attempts]
    names = {name for usage in every for name in usage}
    sums = {name: sum(usage.get(name, 0.0) for usage in every) for name in _SUMMED if name in names}
    peaks = {name: max(usage.get(name, 0.0) for usage in every) for name in names if name.endswith("_peak_bytes")}
    memory = max(usage.get("peak_memory_bytes", 0.0) for usage in every)
    able = sum(usage.get("threads", 0.0) * sum(a.seconds.values()) for usage, a in zip(every, attempts, strict=True))
    told = {"cpu_seconds": sums["cpu_seconds"], "cpu_share": sums["cpu_seconds"] / able if able else 0.0,
            "peak_memory_bytes": memory, **peaks}  # fmt: skip
    if sums.get("device_samples"):
        told["device_share"] = sums["device_busy"] / sums["device_samples"]
    if "energy_joules" in sums:
        told["energy_joules"] = sums["energy_joules"]
    return told


def metrics(figures: Mapping[str, Any]) -> dict[str, float]:
    """The figures that experiment trackers get, flat; nothing for a checkpoint that was made before they were taken."""
    if GOODPUT not in figures:
        return {}
    names = ("goodput_share", "stall_share", "attempts", "lost_steps", "device_seconds", "cost")
    return {
        **{f"{GOODPUT}.{part}_seconds": value for part, value in figures[GOODPUT].items()},
        **{f"usage.{name}": value for name, value in figures["usage"].items()},
        **{name: float(figures[name]) for name in names if name in figures},
    }


def picture(figures: Mapping[str, Any]) -> str:
    """Where the wall time went, as a Markdown image (PNG inside): one bar, divided in the parts."""
    from matplotlib.figure import Figure

    parts: Mapping[str, float] = figures[GOODPUT]
    figure = Figure(figsize=(7, 1.4), layout="constrained")
    axes, left = figure.subplots(), 0.0
    for part in (*PARTS, LOST):
        axes.barh(0, parts[part], left=left, color=_COLOURS[part], label=part)
        left += parts[part]
    axes.set(xlabel="wall seconds of all attempts", xlim=(0, left), yticks=[])
    axes.legend(ncols=len(_COLOURS), loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize="small",
                handlelength=1.0, columnspacing=1.0)  # fmt: skip
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return f"![where the time went](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})"


def table(figures: Mapping[str, Any]) -> str:
    """Where the wall time went, in Markdown, the largest part first."""
    parts: Mapping[str, float] = figures[GOODPUT]
    whole = sum(parts.values())
    rows = ["| wall time of all attempts | seconds | share |", "|---|---:|---:|"]
    for part in sorted((*PARTS, LOST), key=lambda part: -parts[part]):
        rows.append(f"| {_TOLD[part]} | {parts[part]:,.2f} | {parts[part] / whole:.1%} |")
    return "\n".join([*rows, f"| all, in {figures['attempts']} attempt(s) | {whole:,.2f} | |"])
