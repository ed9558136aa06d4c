"""The whole scorer as one module: normalisation, the user's network, and the step from logit to score."""

import importlib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from mlops_platform.errors import TrainingError

_LIMIT = 8.0
_PART = 1 << 20
"""Values that a deviation is computed of at a time."""


def build(reference: str, parameters: Mapping[str, Any], *, numeric: int, cardinalities: tuple[int, ...]) -> nn.Module:
    """A user's network with fresh weights.

    Args:
        reference: ``package.module:Class``.
        parameters: Further keyword arguments, those of the task among them.
        numeric: How many numeric columns there are; the network is told how wide the normaliser makes them.
        cardinalities: Number of codes of each category.

    Raises:
        TrainingError: The reference names nothing.
    """
    module, _, name = reference.partition(":")
    network = getattr(importlib.import_module(module), name, None)
    if network is None:
        raise TrainingError(
            required=f"a class {name} in {module}", found="none of that name", remedy="mend Network.module",
        )  # fmt: skip
    built: nn.Module = network(numeric=normalised_width(numeric), cardinalities=cardinalities, **parameters)
    return built


def normalised_width(columns: int) -> int:
    """Columns that the normaliser makes of so many: two of each."""
    return 2 * columns


class Normaliser(nn.Module):
    """Raw numbers to a network's inputs, with statistics that live among the weights.

    Standardised and cut to +-8, 0 where missing, followed by one missing flag a column. Infinities are cut likewise.
    A column that is constant, or wholly missing, gives 0.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, mean: torch.Tensor, scale: torch.Tensor) -> None:
        """Takes the statistics.

        Args:
            mean: float32 [F].
            scale: float32 [F], above zero.
        """
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    @classmethod
    def learn(cls, numeric: torch.Tensor) -> "Normaliser":
        """Statistics of training rows float32 [N, F]; computed in float64, over the finite values."""
        return cls.of(finite_columns(numeric))

    @classmethod
    def of(cls, columns: Iterable[np.ndarray]) -> "Normaliser":
        """Statistics of training rows that are told one column after the other.

        Args:
            columns: The finite values float64 of each of the F columns, in order.
        """
        means, scales = [], []
        for finite in columns:
            mean = float(finite.mean()) if len(finite) else 0.0
            deviation = standard_deviation(finite, mean) if len(finite) else 0.0
            # Rounding alone gives a constant column a deviation of about 1e-16 of its size.
            constant = deviation <= 1e-7 * abs(mean)
            means.append(mean)
            scales.append(1.0 if constant else deviation)
        return cls(torch.tensor(means, dtype=torch.float32), torch.tensor(scales, dtype=torch.float32))

    @property
    def width(self) -> int:
        """Columns of the output: two for each column of the input."""
        return normalised_width(len(self.mean))

    def forward(self, numeric: torch.Tensor) -> torch.Tensor:
        """float32 [N, F] raw, NaN for missing, to float32 [N, 2F]."""
        missing = torch.isnan(numeric)
        standard = ((numeric - self.mean) / self.scale).clamp(-_LIMIT, _LIMIT)
        known = torch.where(missing, torch.zeros_like(standard), standard)
        return torch.cat([known, missing.to(known.dtype)], dim=1)


def finite_columns(numeric: torch.Tensor) -> Iterator[np.ndarray]:
    """The finite values float64 of each column of float32 [N, F], one after the other."""
    for values in numeric.numpy().T:
        column = values.astype(np.float64)
        yield column[np.isfinite(column)]


def standard_deviation(values: np.ndarray, mean: float) -> float:
    """``values.std()``, to the bit, in memory for a part of them at a time.

    Args:
        values: float64 [N], contiguous, at least one; may be mapped.
        mean: Theirs.
    """

    def squares(begin: int, count: int) -> float:
        if count <= _PART:
            return float(np.square(values[begin : begin + count] - mean).sum())
        # NumPy halves a sum in this way, too, down to 128 terms.
        half = count // 2 - count // 2 % 8
        return squares(begin, half) + squares(begin + half, count - half)

    return math.sqrt(squares(0, len(values)) / len(values))


class ScoringProgram(nn.Module):
    """What is exported: raw numbers and category codes in, scores out."""

    def __init__(self, normaliser: Normaliser, network: nn.Module) -> None:
        super().__init__()
        self.normaliser = normaliser
        self.network = network

    def logits(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        """float32 [N, F] raw and int64 [N, C] to what the network answers: logits [N], or [N, H] of a forecast."""
        return self.network(self.normaliser(numeric), categories)

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        """float32 [N, F] raw and int64 [N, C] to scores float32 [N] between 0 and 1, or [N, H] in the label's unit."""
        return self.in_units(self.logits(numeric, categories))

    def in_units(self, logits: torch.Tensor) -> torch.Tensor:
        """Scores of what the network answers, in any leading shape."""
        return torch.sigmoid(logits)

    @property
    def resolution(self) -> torch.Tensor:
        """What scores are compared in."""
        return torch.ones(())


class ForecastProgram(ScoringProgram):
    """The scorer of a forecast: the network answers in standard deviations of each step's label, the scores are in its
    unit, and mean and deviation live among the weights.
    """

    label_mean: torch.Tensor
    label_scale: torch.Tensor

    def __init__(
        self, normaliser: Normaliser, network: nn.Module, label_mean: torch.Tensor, label_scale: torch.Tensor
    ) -> None:
        """Takes the parts.

        Args:
            normaliser, network: The network returns H numbers a row.
            label_mean: float32 [H].
            label_scale: float32 [H], above zero.
        """
        super().__init__(normaliser, network)
        self.register_buffer("label_mean", label_mean)
        self.register_buffer("label_scale", label_scale)

    def standard(self, label: torch.Tensor) -> torch.Tensor:
        """Labels [..., H] as the network answers them."""
        return (label - self.label_mean) / self.label_scale

    def in_units(self, logits: torch.Tensor) -> torch.Tensor:
        """Scores [..., H] of what the network answers."""
        return logits * self.label_scale + self.label_mean

    @property
    def resolution(self) -> torch.Tensor:
        """The label's standard deviation, float32 [H]."""
        return self.label_scale
