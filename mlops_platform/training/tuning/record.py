"""What a tuning leaves to read: the best configuration and every trial, as JSON, and pictures of them for people."""

import base64
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mlops_platform.errors import TrainingError
from mlops_platform.spec.network import Value

BEST, TRIALS = "best.json", "trials.json"
_LONGEST_WHY = 120


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial that counts; one that a kill cut off and that was done again is none.

    Attributes:
        number: Its place among them, from 0.
        state: ``complete``; ``pruned``; ``refused``, the values make no training (a loss that is no number, too large a
            batch); or ``died``, the program ended without a word, each time it was tried.
        parameters: The values that it tried.
        losses: Validation loss of each epoch.
        why: What was refused, or how it died.
    """

    number: int
    state: Literal["complete", "pruned", "refused", "died"]
    parameters: Mapping[str, Value]
    losses: tuple[float, ...] = ()
    why: str | None = None

    @property
    def value(self) -> float | None:
        """Lowest validation loss of a trial that is complete, which is what a checkpoint of it would have."""
        return min(self.losses) if self.state == "complete" else None


def best_of(trials: Sequence[Trial]) -> Trial:
    """The complete trial of lowest validation loss, the first of equals.

    Raises:
        TrainingError: None is complete.
    """
    complete = [trial for trial in trials if trial.value is not None]
    if not complete:
        why = next((trial.why for trial in trials if trial.why), "")
        raise TrainingError(
            required="a trial that is complete", found=f"none of {len(trials)}{': ' if why else ''}{why}",
            remedy="narrow Tuning.space to values that train, then run mlops tune again",
        )  # fmt: skip
    return min(complete, key=lambda trial: trial.value or 0.0)


def trials_json(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """What ``trials.json`` holds."""
    return [{**asdict(trial), "losses": list(trial.losses)} for trial in trials]


def read_trials(data: bytes) -> tuple[Trial, ...]:
    """Reads ``trials.json``."""
    return tuple(Trial(**{**raw, "losses": tuple(raw["losses"])}) for raw in json.loads(data))


def best_json(trials: Sequence[Trial]) -> dict[str, Any]:
    """What ``best.json`` holds: the values that take the place of those declared, and where they come from.

    Raises:
        TrainingError: No trial is complete.
    """
    best = best_of(trials)
    return {"parameters": dict(best.parameters), "validation_loss": best.value, "trial": best.number}


def facts(trials: Sequence[Trial], declared: Mapping[str, Value]) -> dict[str, Any]:
    """What the artifact's content says.

    Args:
        trials: All of them.
        declared: The declared values, which are the first trial's.
    """
    first = trials[0]
    own = first.value if dict(declared) == dict(first.parameters) else None
    states = [trial.state for trial in trials]
    counts = {state: states.count(state) for state in ("complete", "pruned", "refused", "died")}
    return {**best_json(trials), "trials": len(trials), "declared_validation_loss": own, **counts}


def line(trial: Trial, *, of: int, best: Trial | None) -> str:
    """A trial in one line: ``trial 3 of 20  pruned after epoch 2  0.6931  learning_rate 0.5``."""
    age = f" after epoch {len(trial.losses)}" if trial.state == "pruned" else ""
    loss = f"{min(trial.losses):.5f}" if trial.losses else "-"
    so_far = f"best so far {best.value:.5f}, trial {best.number + 1}" if best is not None else "none complete yet"
    why = f"  ({trial.why[:_LONGEST_WHY]})" if trial.why else ""
    head = f"trial {trial.number + 1} of {of}"
    return f"{head:<15} {trial.state + age:<20} {loss:>9}  {values(trial.parameters)}{why}  [{so_far}]"


def values(parameters: Mapping[str, Value]) -> str:
    """Values as people read them: ``learning_rate 0.00213, parameters.hidden 128``."""
    return ", ".join(f"{name} {_short(value)}" for name, value in sorted(parameters.items()))


def _short(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table(trials: Sequence[Trial]) -> str:
    """The trials as a Markdown table, the best first."""
    names = sorted({name for trial in trials for name in trial.parameters})
    rows = [f"| trial | state | validation loss | epochs | {' | '.join(names)} |", "|---" * (4 + len(names)) + "|"]
    for trial in sorted(trials, key=lambda t: (t.value is None, t.value or 0.0, t.number)):
        loss = f"{min(trial.losses):.5f}" if trial.losses else ""
        told = (_short(trial.parameters[name]) if name in trial.parameters else "" for name in names)
        rows.append(f"| {trial.number + 1} | {trial.state} | {loss} | {len(trial.losses)} | {' | '.join(told)} |")
    return "\n".join(rows)


def picture(trials: Sequence[Trial]) -> str:
    """The study as a Markdown image (PNG inside): its history, and each complete trial's values as a line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    history, parallel = figure.subplots(1, 2)
    _draw_history(history, trials)
    _draw_parallel(parallel, [trial for trial in trials if trial.value is not None])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return f"![study](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})"


def _draw_history(axes: Any, trials: Sequence[Trial]) -> None:
    complete = [trial for trial in trials if trial.value is not None]
    pruned = [trial for trial in trials if trial.value is None and trial.losses]
    axes.scatter(
        [t.number + 1 for t in pruned], [t.losses[-1] for t in pruned], marker="x", color="grey", label="pruned"
    )
    axes.scatter([t.number + 1 for t in complete], [t.value for t in complete], label="complete")
    lowest, steps = math.inf, []
    for trial in complete:
        lowest = min(lowest, trial.value or 0.0)
        steps.append((trial.number + 1, lowest))
    axes.step(
        [place for place, _ in steps], [low for _, low in steps], where="post", color="tab:red", label="best so far"
    )
    axes.set(xlabel="trial", ylabel="validation loss")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()


def _draw_parallel(axes: Any, complete: Sequence[Trial]) -> None:
    """One line a trial through one axis a value, each scaled to the values tried; dark lines are the better ones."""
    names = sorted({name for trial in complete for name in trial.parameters})
    ranked = sorted(complete, key=lambda trial: trial.value or 0.0, reverse=True)
    for place, trial in enumerate(ranked):
        heights = [_height(name, trial.parameters[name], complete) for name in names]
        shade = str(0.85 - 0.7 * (place + 1) / len(ranked)) if place + 1 < len(ranked) else "tab:red"
        axes.plot(range(len(heights)), heights, color=shade, marker=".", linewidth=1)
    axes.set_xticks(range(len(names)), [_tick(name, complete) for name in names], fontsize="small")
    axes.set_yticks([])
    axes.set_title("values tried, the best in red", fontsize="medium")


def _tick(name: str, complete: Sequence[Trial]) -> str:
    """A value's name and the ends of its axis."""
    ends = sorted((_height(name, t.parameters[name], complete), _short(t.parameters[name])) for t in complete)
    return f"{name.removeprefix('parameters.')}\n{ends[0][1]} to {ends[-1][1]}"


def _height(name: str, value: Value, complete: Sequence[Trial]) -> float:
    """A value's place from 0 to 1: by its logarithm where the values span orders, by name where they are no numbers."""
    tried = [trial.parameters[name] for trial in complete]
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in tried):
        order = sorted({str(each) for each in tried})
        return order.index(str(value)) / max(len(order) - 1, 1)
    low, high, number = min(map(float, tried)), max(map(float, tried)), float(value)
    if low > 0 and high / low >= 10:
        low, high, number = math.log(low), math.log(high), math.log(number)
    return (number - low) / (high - low) if high > low else 0.5
