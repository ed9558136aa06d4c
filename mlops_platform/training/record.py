"""What a training leaves to read: its curves and the facts about it, deterministic, as JSON beside the weights."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

WEIGHTS = "weights.safetensors"
CURVES = "curves.json"
TRAINING = "training.json"


@dataclass(frozen=True)
class Epoch:
    """One pass over the training rows.

    Attributes:
        epoch: Its number, from 0.
        train_loss: Mean loss over its steps, as they were taken.
        validation_loss: Of the weights after it.
        validation_auc: Likewise, the area under the ROC curve of a binary classifier.
        validation_mae: Likewise, the mean absolute error of a forecast, in the label's unit.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    validation_auc: float | None = None
    validation_mae: float | None = None

    @property
    def figure(self) -> tuple[str, float]:
        """Name of the one figure beside the losses, and its value."""
        if self.validation_mae is not None:
            return "MAE", self.validation_mae
        assert self.validation_auc is not None
        return "AUC", self.validation_auc

    def to_json(self) -> dict[str, Any]:
        """What ``curves.json`` holds of it; only the figure that its task has."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What became of a category's embedding in a warm start.

    Attributes:
        carried: Values whose learned rows were taken.
        new: Values that the start did not know; they begin fresh.
        dropped: Values of the start that are no more.
    """

    carried: int
    new: int
    dropped: int


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """What a training took from the checkpoint it began from.

    Attributes:
        taken, fresh: Number of trained weights that were taken, and that began fresh.
        embeddings: By category, where its embeddings were taken row by row.
    """

    taken: int
    fresh: int
    embeddings: Mapping[str, Rows]


@dataclass(frozen=True, kw_only=True)
class Training:
    """Facts about a training that its recipe decides.

    Attributes:
        epochs, steps: How long it trained.
        best_epoch: Epoch of lowest validation loss (the first of equals); the checkpoint holds its weights.
        parameters: Number of trained weights.
        seed: Of everything.
        train_rows, validation_rows: What it read.
        train_loss: Of the last epoch.
        validation_loss: Of the best epoch.
        validation_auc, validation_mae: Likewise, whichever the task has; see ``Epoch``.
        constant_loss: Validation loss of always answering the training split's share of positives, or for a forecast
            its median of each step.
        export_max_difference: Largest difference between torch's and the exported program's scores of validation rows,
            of a forecast in standard deviations of the label.
        warm_start: What was taken from an earlier checkpoint; None where all began fresh.
        micro_batch: Rows whose gradients were computed at once; None where whole batches fitted into memory.
        halved: How often batches were halved until they did; None where never.
    """

    epochs: int
    steps: int
    best_epoch: int
    parameters: int
    seed: int
    train_rows: int
    validation_rows: int
    train_loss: float
    validation_loss: float
    constant_loss: float
    export_max_difference: float
    validation_auc: float | None = None
    validation_mae: float | None = None
    warm_start: WarmStart | None = None
    micro_batch: int | None = None
    halved: int | None = None

    @classmethod
    def from_json(cls, data: bytes) -> "Training":
        """Reads ``training.json``."""
        raw: dict[str, Any] = json.loads(data)
        begun = raw.pop("warm_start", None)
        if begun is not None:
            rows = {name: Rows(**counts) for name, counts in begun["embeddings"].items()}
            begun = WarmStart(taken=begun["taken"], fresh=begun["fresh"], embeddings=rows)
        return cls(**raw, warm_start=begun)

    def to_json(self) -> dict[str, Any]:
        """What ``training.json`` holds; nothing of a warm start where there was none, nor of another task's figure."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def pieces(self) -> dict[str, int]:
        """In what pieces its batches were learnt; nothing where whole ones fitted into memory."""
        return {name: value for name in ("micro_batch", "halved") if (value := getattr(self, name)) is not None}

    def metrics(self) -> dict[str, float]:
        """The figures that compare trainings."""
        names = ("train_loss", "validation_loss", "validation_auc", "validation_mae", "constant_loss")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def curves_json(epochs: Sequence[Epoch]) -> list[dict[str, Any]]:
    """What ``curves.json`` holds."""
    return [epoch.to_json() for epoch in epochs]


def read_curves(data: bytes) -> tuple[Epoch, ...]:
    """Reads ``curves.json``."""
    return tuple(Epoch(**point) for point in json.loads(data))


def curves_by_name(epochs: Sequence[Epoch]) -> dict[str, list[float]]:
    """The curves as experiment trackers want them: the values of each by epoch."""
    named = [{name: value for name, value in epoch.to_json().items() if name != "epoch"} for epoch in epochs]
    return {f"epoch_{name}": [point[name] for point in named] for name in named[0]}


def picture(epochs: Sequence[Epoch], best: int) -> str:
    """The learning curves as a Markdown image (PNG inside), for the UI."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.8), layout="constrained")
    losses, figures = figure.subplots(1, 2)
    numbers = [point.epoch + 1 for point in epochs]
    losses.plot(numbers, [point.train_loss for point in epochs], marker=".", label="train")
    losses.plot(numbers, [point.validation_loss for point in epochs], marker=".", label="validation")
    what, _ = epochs[0].figure
    losses.set(xlabel="epoch", ylabel="log loss" if what == "AUC" else "mean absolute error, standardised")
    losses.legend()
    figures.plot(numbers, [point.figure[1] for point in epochs], marker=".", color="tab:green")
    figures.set(xlabel="epoch", ylabel=f"validation {'ROC AUC' if what == 'AUC' else what}")
    for axes in (losses, figures):
        axes.axvline(best + 1, color="grey", linestyle=":", linewidth=1)
        axes.xaxis.get_major_locator().set_params(integer=True)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return f"![learning curves](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})"


def params(config: Mapping[str, Any]) -> dict[str, Any]:
    """A network's declaration as flat parameters, as experiment trackers want them."""
    flat = {name: value for name, value in config.items() if name != "parameters"}
    return {**flat, **{f"parameters.{name}": value for name, value in config["parameters"].items()}}
