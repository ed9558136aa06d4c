"""What is learnt, by task: the loss, the figure of a validation, and the constant answer that a network must beat."""

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mlops_platform.errors import TrainingError
from mlops_platform.spec import Forecast
from mlops_platform.training.program.network import ForecastProgram, Normaliser, ScoringProgram


class Objective(Protocol):
    """What a learner asks of the task; labels are as ``labels.read`` gives them."""

    def require_shape(self, answers: Tensor, label: Tensor, module: str) -> None:
        """Refuses answers of another shape than the labels'."""
        ...

    def loss(self, answers: Tensor, label: Tensor) -> Tensor:
        """Mean loss of rows, a scalar: that of several batches is their mean, weighted by their rows."""
        ...

    def figures(self, answers: Tensor, label: Tensor) -> Mapping[str, float]:
        """The figure of a validation beside its loss, by its name in ``record.Epoch``."""
        ...

    def constant_loss(self, train: Tensor, validation: Tensor) -> float:
        """Loss of validation labels, answered by the one best constant of the train labels."""
        ...


class Probability:
    """Log loss of labels 0 and 1, float32 [N]; answers are logits [N]."""

    def require_shape(self, answers: Tensor, label: Tensor, module: str) -> None:
        """One logit a row."""
        if answers.shape != label.shape:
            raise TrainingError(
                required=f"one logit a row, shape {tuple(label.shape)}", found=f"shape {tuple(answers.shape)}",
                remedy=f"end the forward of {module} with .squeeze(1)",
            )  # fmt: skip

    def loss(self, answers: Tensor, label: Tensor) -> Tensor:
        """In nats a row."""
        return functional.binary_cross_entropy_with_logits(answers, label)

    def figures(self, answers: Tensor, label: Tensor) -> Mapping[str, float]:
        """The area under the ROC curve."""
        return {"validation_auc": roc_auc(label.cpu().numpy(), answers.cpu().numpy())}

    def constant_loss(self, train: Tensor, validation: Tensor) -> float:
        """Of always answering the share of positives."""
        share, late = (float(label.numpy().mean(dtype=np.float64)) for label in (train, validation))
        return -(late * math.log(share) + (1 - late) * math.log(1 - share))


class AbsoluteError:
    """Absolute error of labels float32 [..., H], NaN where unknown; answers [..., H] are standardised.

    The loss is in standard deviations of each step's label and averaged over all elements, the unknown ones counting
    0: so that the loss of the global batch is the mean of its parts', whatever they know.
    """

    def __init__(self, program: ForecastProgram) -> None:
        self._program = program

    def require_shape(self, answers: Tensor, label: Tensor, module: str) -> None:
        """A number a row and step."""
        if answers.shape != label.shape:
            raise TrainingError(
                required=f"a number for each row and step, shape {tuple(label.shape)}",
                found=f"shape {tuple(answers.shape)}",
                remedy=f"let the forward of {module} return as many numbers a row as its argument horizon says",
            )  # fmt: skip

    def loss(self, answers: Tensor, label: Tensor) -> Tensor:
        """Mean over rows and steps."""
        return _known(answers - self._program.standard(label.to(answers.dtype)), label).abs().mean()

    def figures(self, answers: Tensor, label: Tensor) -> Mapping[str, float]:
        """The mean absolute error of what is known, in the label's unit."""
        error = _known(self._program.in_units(answers) - label, label).abs().double()
        return {"validation_mae": float(error.sum() / torch.isfinite(label).sum())}

    def constant_loss(self, train: Tensor, validation: Tensor) -> float:
        """Of always answering the median of each step."""
        medians = torch.tensor(np.nanmedian(train.numpy(), axis=0), dtype=torch.float64)
        answers = self._program.standard(medians).expand(validation.shape)
        return float(self.loss(answers, validation.double()))


def objective_of(program: ScoringProgram) -> Objective:
    """The objective of a scorer."""
    return AbsoluteError(program) if isinstance(program, ForecastProgram) else Probability()


def program_of(task: object, normaliser: Normaliser, network: torch.nn.Module, label: Tensor) -> ScoringProgram:
    """The scorer of a task, fresh.

    Args:
        task: Of the model.
        normaliser: Of its numbers.
        network: With fresh weights.
        label: Of the train rows; a forecast is standardised by what is known of them.
    """
    if not isinstance(task, Forecast):
        return ScoringProgram(normaliser, network)
    scale = Normaliser.learn(label)
    return ForecastProgram(normaliser, network, scale.mean, scale.scale)


def roc_auc(label: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve by ranks, equal scores sharing theirs.

    Args:
        label: [N], 0 or 1, both present.
        score: [N].
    """
    _, tied, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[tied]
    positives = int((label == 1).sum())
    negatives = len(label) - positives
    return float((ranks[label == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _known(error: Tensor, label: Tensor) -> Tensor:
    """The errors, 0 where there is no label; no gradient comes from there."""
    return torch.where(torch.isfinite(label), error, torch.zeros_like(error))
