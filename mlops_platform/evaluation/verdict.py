"""The verdict on a challenger: named conditions, each with its finding, and what follows from them."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mlops_platform.spec import LOWER_IS_BETTER, Forecast, Task

CONDITIONS = {
    "numbers_are_finite": "Every metric of every model compared is a finite number.",
    "scores_are_sound": "The challenger's scores lie between 0 and 1 and are not the same for every row.",
    "holdout_is_fresh": "No model compared learned from anything known after the holdout began.",
    "better_than_baseline": "The challenger beats the logistic regression by the declared margin.",
    "calibrated": "The challenger's expected calibration error is within the declared bound.",
    "better_than_champion": "The lower bound of the paired difference from the champion exceeds the declared margin.",
    "no_slice_worse": "In no declared slice is the challenger worse than the champion by more than its margin.",
    "small_enough": "The exported program is within the declared size.",
    "fast_enough": "The median time to score one row is within the declared limit.",
}
"""What is asked of a binary classifier's challenger, by name, in the order in which it is asked."""

_OF_FORECASTS = {
    "scores_are_sound": "The challenger's forecasts are finite numbers and not the same for every row.",
    "better_than_baseline": "The challenger beats the better of persistence and seasonal mean by the declared margin.",
}


def conditions_of(task: Task) -> dict[str, str]:
    """What is asked of a challenger of a task: ``CONDITIONS``, or what a forecast has in place of some."""
    if not isinstance(task, Forecast):
        return CONDITIONS
    return {name: _OF_FORECASTS.get(name, words) for name, words in CONDITIONS.items() if name != "calibrated"}


def best_baseline(metrics: Mapping[str, Mapping[str, float | None] | None], task: Task, metric: str) -> str:
    """Name of the baseline that is hardest to beat.

    Args:
        metrics: Of each model.
        task: Whose baselines they are.
        metric: The one that decides.
    """
    sign = -1 if metric in LOWER_IS_BETTER else 1

    def goodness(name: str) -> float:
        value = (metrics[name] or {})[metric]
        return -math.inf if value is None else sign * value

    return max(task.baselines, key=goodness)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One condition and its finding.

    Attributes:
        name: One of ``conditions_of`` the task.
        passed: Whether it holds.
        reason: The finding in words and numbers.
        figures: The numbers behind it.
    """

    name: str
    passed: bool
    reason: str
    figures: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the gate found.

    Attributes:
        metric: The metric that decided.
        conditions: In the order of ``conditions_of`` the task.
        challenger, baseline, champion: The metric's values, of the best baseline where there are several; champion
            None where none is live or none was comparable.
        champion_is_challenger: Whether the judged checkpoint is the one now live, so that there is nothing to promote.
        against_baseline, against_champion: Paired difference with its bounds (``bootstrap.Difference``); None where
            there was nothing to compare.
    """

    metric: str
    conditions: tuple[Condition, ...]
    challenger: float | None
    baseline: float | None
    champion: float | None
    champion_is_challenger: bool
    against_baseline: Mapping[str, float | int | str] | None
    against_champion: Mapping[str, float | int | str] | None

    @property
    def passed(self) -> bool:
        """Whether every condition holds."""
        return all(condition.passed for condition in self.conditions)

    @property
    def reason(self) -> str:
        """Why, in words and numbers: what failed, or what won."""
        told = [condition.reason for condition in self.conditions if not condition.passed]
        won = ("better_than_baseline", "better_than_champion")
        return " ".join(told or [condition.reason for condition in self.conditions if condition.name in won])

    def to_json(self) -> dict[str, Any]:
        """The verdict as JSON, with ``passed`` and ``reason``."""
        return {**asdict(self), "passed": self.passed, "reason": self.reason}
