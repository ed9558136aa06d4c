"""The pumps' network."""

import torch
from torch import Tensor, nn


class PumpNet(nn.Module):
    """One hidden layer over the numbers and an embedding of the pump."""

    def __init__(self, *, numeric: int, cardinalities: tuple[int, ...], width: int = 8) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(size, 2) for size in cardinalities)
        self.layers = nn.Sequential(nn.Linear(numeric + 2 * len(cardinalities), width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        """Logits [N] of numeric [N, numeric] and categories [N, C]."""
        embedded = [layer(categories[:, place]) for place, layer in enumerate(self.embeddings)]
        return self.layers(torch.cat([numeric, *embedded], dim=1)).squeeze(1)
