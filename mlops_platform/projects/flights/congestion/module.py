"""The network that forecasts mean departure delays: one hidden layer over the numbers and embedded categories.

The hour of the week enters through an embedding, from which the network learns what an hour is usually like; the origin
through another. Both are short, since a year has few weeks.
"""

import torch
from torch import Tensor, nn


class CongestionNet(nn.Module):
    """Mean delays of the hours ahead, in standard deviations.

    Args:
        numeric: width of the numeric input: the standardised columns, then as many 0/1 flags for missing values.
        cardinalities: number of codes of each category, code 0 (unknown) included.
        horizon: hours ahead.
        hidden: units of the hidden layer.
        dropout: of the hidden layer.
        embedding_limit: the most dimensions an embedding gets; else the square root of its cardinality.
    """

    def __init__(
        self,
        *,
        numeric: int,
        cardinalities: tuple[int, ...],
        horizon: int,
        hidden: int = 128,
        dropout: float = 0.2,
        embedding_limit: int = 8,
    ) -> None:
        super().__init__()
        widths = [min(embedding_limit, max(2, int(codes**0.5))) for codes in cardinalities]
        tables = [nn.Embedding(codes, width) for codes, width in zip(cardinalities, widths, strict=True)]
        for table in tables:
            nn.init.normal_(table.weight, std=0.05)
        self.embeddings = nn.ModuleList(tables)
        width = numeric + sum(widths)
        self.body = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, horizon))

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        """Standardised delays [N, horizon] of numbers [N, numeric] (float32) and codes [N, categories] (int64)."""
        codes = [table(categories[:, place]) for place, table in enumerate(self.embeddings)]
        answers: Tensor = self.body(torch.cat([numeric, *codes], dim=1))
        return answers
