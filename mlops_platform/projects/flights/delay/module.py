"""The network of ``flight_delay``: hinges of every number and embeddings of every category, through one hidden layer."""

import torch
from torch import Tensor, nn

KNOTS = (-1.5, -0.75, -0.3, 0.0, 0.3, 0.75, 1.5, 2.5)
"""Where a standardised number gets a hinge: many where delays are dense, one far out in the late tail."""

WIDEST_EMBEDDING = 8


class FlightDelayNet(nn.Module):
    """One hidden layer over numbers, their hinges, missing flags and embeddings.

    Hinges, relu(x - knot), let a small network bend along single features as trees do, at the cost of one matrix product
    (multivariate adaptive regression splines, J. Friedman, Annals of Statistics 19, 1991, use the same basis).

    Args:
        numeric: Width of the numbers: standardised values, then as many missing flags.
        cardinalities: Codes of each category, 0 meaning unknown.
        hidden: Width of the hidden layer.
        dropout: Share of hidden units left out in training.
        embedding_dropout: Share of embedding values left out in training.
    """

    knots: Tensor

    def __init__(
        self,
        *,
        numeric: int,
        cardinalities: tuple[int, ...],
        hidden: int = 256,
        dropout: float = 0.3,
        embedding_dropout: float = 0.2,
    ) -> None:
        super().__init__()
        widths = [min(WIDEST_EMBEDDING, max(2, int(size**0.5))) for size in cardinalities]
        self.embeddings = nn.ModuleList(
            nn.Embedding(size, width) for size, width in zip(cardinalities, widths, strict=True)
        )
        for embedding in self.embeddings:
            nn.init.normal_(embedding.weight, std=0.05)
        self.values = numeric // 2
        self.register_buffer("knots", torch.tensor(KNOTS))
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        width = numeric + self.values * len(KNOTS) + sum(widths)
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 1))

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        """Logits float32 [N] of numeric float32 [N, numeric] and categories int64 [N, len(cardinalities)]."""
        embedded = [layer(categories[:, place]) for place, layer in enumerate(self.embeddings)]
        hinges = torch.relu(numeric[:, : self.values, None] - self.knots).flatten(1)
        inputs = torch.cat([numeric, hinges, self.embedding_dropout(torch.cat(embedded, dim=1))], dim=1)
        return self.layers(inputs).squeeze(1)
