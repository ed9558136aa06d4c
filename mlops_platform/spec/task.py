"""Declaration of what a model answers: whether something happens, or how much of something is to come."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from mlops_platform.spec.fields import duration, require

METRICS = ("roc_auc", "average_precision", "log_loss", "brier", "calibration_error")
"""Of a binary classifier's probabilities."""
LOWER_IS_BETTER = frozenset({"log_loss", "brier", "calibration_error", "mae", "rmse"})


@dataclass(frozen=True, kw_only=True)
class Binary:
    """Whether something happens: the label is 0 or 1, the answer a probability."""

    metrics: ClassVar[tuple[str, ...]] = METRICS
    metric: ClassVar[str] = "roc_auc"
    deciding: ClassVar[tuple[str, ...]] = METRICS
    baselines: ClassVar[Mapping[str, str]] = {"baseline": "logistic regression"}

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the dataset that the task itself reads."""
        return ()

    @property
    def arguments(self) -> dict[str, int]:
        """What the network's class is told of the task."""
        return {}

    def recipe(self) -> dict[str, Any]:
        """The declaration as recipes hold it: nothing, since it is what every model was before there were others."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """How much of something each of the next steps brings: the label and the answer are a number for each step.

    Attributes:
        horizon: How many steps are forecast.
        step: Their length, the first beginning at the prediction time.
        unit: Of the label.
        persistence: Columns of the dataset that hold the last known value; the first that is not null is what the
            simplest baseline answers, for every step.
        season: Columns of the dataset that name the season, such as the hour of the week, and whom it is about; the
            mean of their train rows, by step, is the other baseline. A combination without train rows takes the mean
            without the last column, and so on.
    """

    horizon: int
    step: str
    unit: str
    persistence: tuple[str, ...]
    season: tuple[str, ...]

    metrics: ClassVar[tuple[str, ...]] = ("mae", "rmse", "bias")
    metric: ClassVar[str] = "mae"
    deciding: ClassVar[tuple[str, ...]] = ("mae", "rmse")
    baselines: ClassVar[Mapping[str, str]] = {"persistence": "persistence", "season": "seasonal mean"}

    def __post_init__(self) -> None:
        require(self.horizon > 0, "Forecast.horizon", self.horizon, "at least one step", "raise it")
        duration(self.step, name="Forecast.step")
        for name in ("persistence", "season"):
            require(bool(getattr(self, name)), f"Forecast.{name}", (), "at least one column", "name a column")

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the dataset that the task itself reads."""
        return (*self.persistence, *self.season)

    @property
    def arguments(self) -> dict[str, int]:
        """What the network's class is told of the task."""
        return {"horizon": self.horizon}

    def recipe(self) -> dict[str, Any]:
        """The declaration as recipes hold it: JSON values, so that one that was read equals one that was made."""
        lists = {name: list(getattr(self, name)) for name in ("persistence", "season")}
        return {"task": {"kind": "forecast", **asdict(self), **lists}}


Task = Binary | Forecast


def metrics_in(found: Collection[str]) -> tuple[str, ...]:
    """Those of the metrics there are, in the order in which they are shown."""
    return tuple(name for name in (*Binary.metrics, *Forecast.metrics) if name in found)


def task_of(recipe: Mapping[str, Any]) -> Task:
    """The task that ``Task.recipe`` wrote."""
    if not recipe:
        return Binary()
    told = {name: value for name, value in recipe["task"].items() if name != "kind"}
    return Forecast(**told | {name: tuple(told[name]) for name in ("persistence", "season")})
