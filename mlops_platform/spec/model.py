"""Declaration of a model: its examples, split, network, compute, gate and monitoring."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from mlops_platform.spec.fields import duration, require, require_name, require_reference
from mlops_platform.spec.monitoring import Monitoring
from mlops_platform.spec.retraining import Retraining
from mlops_platform.spec.tables import Column

METRICS = ("roc_auc", "average_precision", "log_loss", "brier", "calibration_error")
_ON_ANY_NEW_ROW, _USUAL_MONITORING = Retraining(), Monitoring()
LOWER_IS_BETTER = frozenset({"log_loss", "brier", "calibration_error"})


@dataclass(frozen=True, kw_only=True)
class Examples:
    """The rows a model learns from and the rows it answers.

    Attributes:
        source: Raw table of the labelled rows.
        labelled: Function of it: ``id``, entity keys, ``event_timestamp`` (the prediction time), context columns,
            ``label`` (0, 1 or null), ``label_known_timestamp``, ``unlabelled`` (the reason for a null label).
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
class Network:
    """The network and how it is trained.

    Attributes:
        module: Reference to a plain ``nn.Module`` class, called with ``numeric`` (width), ``cardinalities`` and
            ``parameters``; its ``forward(numeric, categories)`` returns one logit a row.
        parameters: Further keyword arguments of the module.
        epochs, batch_size, learning_rate, weight_decay, seed: The recipe; the number of steps is constant.
        warm_start: Whether training begins with what the live champion's weights hold that this network can take,
            instead of fresh weights; where none is live, with fresh ones.
    """

    module: str
    parameters: Mapping[str, float | int | str | bool] = field(default_factory=dict)
    epochs: int = 8
    batch_size: int = 1024
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    seed: int = 0
    warm_start: bool = False

    def __post_init__(self) -> None:
        require_reference("Network.module", self.module)
        for name in ("epochs", "batch_size", "learning_rate"):
            value = getattr(self, name)
            require(value > 0, f"Network.{name}", value, "a number above zero", "raise it")
        # Whatever else counts as true would be another recipe for the same work.
        yes_or_no = isinstance(self.warm_start, bool)
        require(yes_or_no, "Network.warm_start", self.warm_start, "True or False", "write True for a warm start")

    def recipe(self) -> dict[str, Any]:
        """The declaration as recipes hold it: ``warm_start`` only where it is asked for, so that others keep theirs."""
        told = asdict(self)
        if not self.warm_start:
            del told["warm_start"]
        return told


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Where a model trains.

    Attributes:
        accelerator: ``auto``, ``cpu`` or ``cuda``.
        devices: How many devices.
        precision: Lightning's name of the numeric precision.
        threads: CPU threads of the trainer; part of what decides its bits.
        launcher: Name of the launcher that starts the training program.
        pool: Dagster pool that bounds how many train at once.
    """

    accelerator: Literal["auto", "cpu", "cuda"] = "cpu"
    devices: int = 1
    precision: str = "32-true"
    threads: int = 2
    launcher: Literal["local"] = "local"
    pool: str = "training"

    def __post_init__(self) -> None:
        choices = ("auto", "cpu", "cuda")
        require(self.accelerator in choices, "Compute.accelerator", self.accelerator, f"one of {choices}", "choose one")
        require(self.devices > 0, "Compute.devices", self.devices, "at least one device", "raise it")
        require(self.threads > 0, "Compute.threads", self.threads, "at least one thread", "raise it")


@dataclass(frozen=True, kw_only=True)
class Gate:
    """When a challenger becomes champion.

    Attributes:
        metric: The metric that decides, one of ``METRICS``.
        baseline_margin: By how much it must beat the logistic regression.
        champion_margin: By how much the lower confidence bound of its paired difference from the champion must
            exceed zero.
        confidence: Of that bound, and of those of the slices.
        resamples: Of the paired bootstrap.
        slice_margins: Margin by slice column: in no value of it may the lower confidence bound of the paired
            difference show the challenger worse than the champion by more.
        slice_rows: A value of fewer rows, or whose labels are of one class, is listed and not judged.
        max_calibration_error: Highest expected calibration error allowed.
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
        require(self.metric in METRICS, "Gate.metric", self.metric, f"one of {', '.join(METRICS)}", "choose one")
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


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model: what it predicts, from what, with which network, and when it is good enough.

    Attributes:
        name: Its name, in asset keys and in the registry.
        examples: The rows it learns from and answers.
        feature_service: Feast feature service that serves its features.
        features: Feature tables it reads, each ``table`` (all columns) or ``table:column``.
        context: Columns that the examples themselves bring.
        categories: Columns among keys, context and features that are categories; each gets an embedding.
        carried: Further columns that the examples bring, for slices only; the network never sees them.
        slices: Columns by whose values its evaluation is divided.
        split, network, compute, gate, monitoring: See their classes.
        retraining: When it is trained again by itself; None: only when a person asks.
    """

    name: str
    examples: Examples
    feature_service: str
    features: tuple[str, ...]
    categories: tuple[str, ...]
    network: Network
    context: tuple[Column, ...] = ()
    carried: tuple[Column, ...] = ()
    slices: tuple[str, ...] = ()
    split: Split = Split()
    compute: Compute = Compute()
    gate: Gate = Gate()
    monitoring: Monitoring = _USUAL_MONITORING
    retraining: Retraining | None = _ON_ANY_NEW_ROW
    description: str = ""

    def __post_init__(self) -> None:
        require_name("Model.name", self.name)
        require(bool(self.features), f"Model({self.name}).features", self.features, "a feature table", "name one")
