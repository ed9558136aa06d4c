"""Declaration of a model: its examples, split and gate, and what is declared of it elsewhere here."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mlops_platform.spec.compute import Compute, Saving
from mlops_platform.spec.fields import duration, require, require_name, require_reference
from mlops_platform.spec.monitoring import Monitoring
from mlops_platform.spec.network import LATEST, Network
from mlops_platform.spec.retraining import Retraining
from mlops_platform.spec.serving import Serving
from mlops_platform.spec.skew import Skew
from mlops_platform.spec.tables import Column
from mlops_platform.spec.task import Binary, Forecast, Task
from mlops_platform.spec.tuning import Tuning

_ON_ANY_NEW_ROW, _USUAL_COMPUTE, _USUAL_MONITORING = Retraining(), Compute(), Monitoring()
_USUAL_SAVING, _USUAL_SERVING, _USUAL_SKEW, _BINARY = Saving(), Serving(), Skew(), Binary()
_METRICS = (*Binary.deciding, *Forecast.deciding)


@dataclass(frozen=True, kw_only=True)
class Examples:
    """The rows a model learns from and the rows it answers.

    Attributes:
        source: Raw table of the labelled rows.
        labelled: Function of it: ``id``, entity keys, ``event_timestamp`` (the prediction time), context columns,
            ``label`` (0, 1 or null), ``label_known_timestamp``, ``unlabelled`` (the reason for a null label). The label
            of a forecast is an array of Float32, an element for each step and null where that one has nothing to tell;
            its known timestamp is when all of it is known.
        upcoming_source: Raw table of what is to be predicted.
        upcoming: Function of it: the same columns without the three of the label.
        id: Column that identifies an example.
        calendar: Time zone of the days and months by which datasets are split.
    """

    source: str
    labelled: str
    upcoming_source: str
    upcoming: str
    id: str
    calendar: str = "UTC"

    def __post_init__(self) -> None:
        require_reference("Examples.labelled", self.labelled)
        require_reference("Examples.upcoming", self.upcoming)


@dataclass(frozen=True, kw_only=True)
class Split:
    """How labelled examples are divided by time: train, embargo, validation, embargo, holdout.

    Attributes:
        holdout: The newest span, ``1mo`` meaning the newest calendar month.
        validation: The span before it.
        embargo: The gap between them, at least the longest feature window, so that no window straddles.
    """

    holdout: str = "1mo"
    validation: str = "14d"
    embargo: str = "1d"

    def __post_init__(self) -> None:
        for name in ("holdout", "validation", "embargo"):
            duration(getattr(self, name), name=f"Split.{name}")
        for name in ("validation", "embargo"):
            require("mo" not in getattr(self, name), f"Split.{name}", getattr(self, name), "days or hours", "write 31d")


@dataclass(frozen=True, kw_only=True)
class Gate:
    """When a challenger becomes champion.

    Attributes:
        metric: The metric that decides, one of the task's ``deciding``; a model whose gate is wholly the usual one
            gets the task's own.
        baseline_margin: By how much it must beat the logistic regression, or the better baseline of a forecast.
        champion_margin: By how much the lower confidence bound of its paired difference from the champion must
            exceed zero.
        confidence: Of that bound, and of those of the slices.
        resamples: Of the paired bootstrap.
        slice_margins: Margin by slice column: in no value of it may the lower confidence bound of the paired
            difference show the challenger worse than the champion by more.
        slice_rows: A value of fewer rows, or whose labels are of one class, is listed and not judged.
        max_calibration_error: Highest expected calibration error allowed, where scores are probabilities.
        max_megabytes: Largest exported program allowed, in millions of bytes; None for any.
        max_milliseconds: Longest median time to score one row, as measured by the evaluation; None for any.
        require_approval: Whether a challenger that passes waits for a person: ``mlops promote``.
    """

    metric: str = "roc_auc"
    baseline_margin: float = 0.0
    champion_margin: float = 0.0
    confidence: float = 0.95
    resamples: int = 500
    slice_margins: Mapping[str, float] = field(default_factory=dict)
    slice_rows: int = 500
    max_calibration_error: float = 0.1
    max_megabytes: float | None = None
    max_milliseconds: float | None = None
    require_approval: bool = False

    def __post_init__(self) -> None:
        require(self.metric in _METRICS, "Gate.metric", self.metric, f"one of {', '.join(_METRICS)}", "choose one")
        inside = 0.5 < self.confidence < 1
        require(inside, "Gate.confidence", self.confidence, "above 0.5 and below 1", "0.95 is usual")
        require(self.resamples >= 100, "Gate.resamples", self.resamples, "at least 100", "500 is usual")
        margins = {"baseline_margin": self.baseline_margin, "champion_margin": self.champion_margin,
                   **{f"slice_margins[{column}]": margin for column, margin in self.slice_margins.items()}}  # fmt: skip
        for name, margin in margins.items():
            require(margin >= 0, f"Gate.{name}", margin, "zero or more", "raise it")
        require(self.slice_rows > 0, "Gate.slice_rows", self.slice_rows, "at least one row", "500 is usual")
        bound = self.max_calibration_error
        require(0 <= bound <= 1, "Gate.max_calibration_error", bound, "from 0 to 1", "0.1 is usual")
        for name in ("max_megabytes", "max_milliseconds"):
            limit = getattr(self, name)
            require(
                limit is None or limit > 0, f"Gate.{name}", limit, "a number above zero", "raise it or leave it out"
            )


_USUAL_GATE = Gate()


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model: what it predicts, from what, with which network, and when it is good enough.

    Attributes:
        name: Its name, in asset keys and in the registry.
        task: What it answers.
        examples: The rows it learns from and answers.
        feature_service: Feast feature service that serves its features.
        features: Feature tables it reads, each ``table`` (all columns) or ``table:column``.
        context: Columns that the examples themselves bring.
        categories: Columns among keys, context and features that are categories; each gets an embedding.
        carried: Further columns that the examples bring, for slices only; the network never sees them.
        slices: Columns by whose values its evaluation is divided.
        split, network, compute, saving, gate, serving, monitoring, skew: See their classes.
        retraining: When it is trained again by itself; None: only when a person asks.
        tuning: Where better values of the network's declaration are looked for; None: nowhere.
    """

    name: str
    examples: Examples
    feature_service: str
    features: tuple[str, ...]
    categories: tuple[str, ...]
    network: Network
    task: Task = _BINARY
    context: tuple[Column, ...] = ()
    carried: tuple[Column, ...] = ()
    slices: tuple[str, ...] = ()
    split: Split = Split()
    compute: Compute = _USUAL_COMPUTE
    saving: Saving = _USUAL_SAVING
    gate: Gate = _USUAL_GATE
    serving: Serving = _USUAL_SERVING
    monitoring: Monitoring = _USUAL_MONITORING
    skew: Skew = _USUAL_SKEW
    retraining: Retraining | None = _ON_ANY_NEW_ROW
    tuning: Tuning | None = None
    description: str = ""

    def __post_init__(self) -> None:
        require_name("Model.name", self.name)
        require(bool(self.features), f"Model({self.name}).features", self.features, "a feature table", "name one")
        if self.gate == _USUAL_GATE:
            object.__setattr__(self, "gate", replace(self.gate, metric=self.task.metric))
        where, known = f"Model({self.name}).gate.metric", ", ".join(self.task.deciding)
        require(self.gate.metric in self.task.deciding, where, self.gate.metric, f"one of {known}", "choose one")
        alone = self.network.sequence is None or self.compute.processes == 1
        require(alone, f"Model({self.name}).compute", f"{self.compute.processes} processes",
                "one process for a network of sequences", "declare one device on one node")  # fmt: skip
        rollout = self.serving.rollout
        whole = rollout is None or self.network.sequence is None
        require(
            whole, f"Model({self.name}).serving.rollout", rollout, "none for a network of sequences", "leave it out"
        )
        if self.tuning is not None:
            self.tuning.require_fits(self.network)
        tunable = self.network.tuned != LATEST or self.tuning is not None
        require(tunable, f"Model({self.name}).network.tuned", self.network.tuned, "a tuning that is declared",
                "declare Model(tuning=Tuning(space=...)), or leave tuned out")  # fmt: skip
