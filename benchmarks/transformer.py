"""A transformer over the columns of a row, as large as one asks for: what fills an accelerator in the benchmarks."""

import torch
from torch import Tensor, nn


class ColumnTransformer(nn.Module):
    """Each number and each category is a token (as in FT-Transformer: Y. Gorishniy et al., NeurIPS 2021).

    Args:
        numeric: Width of the numeric input.
        cardinalities: Number of codes of each category.
        width: Of a token.
        layers, heads: Of the encoder.
    """

    def __init__(
        self, *, numeric: int, cardinalities: tuple[int, ...], width: int = 64, layers: int = 2, heads: int = 4
    ) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(numeric, width) / width**0.5)
        self.shift = nn.Parameter(torch.randn(numeric, width) / width**0.5)
        self.tables = nn.ModuleList([nn.Embedding(codes, width) for codes in cardinalities])
        layer = nn.TransformerEncoderLayer(
            width, heads, dim_feedforward=4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.last = nn.Linear(width, 1)

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        """Logits [N] of numbers [N, numeric] and category codes [N, categories]."""
        numbers = numeric.unsqueeze(2) * self.scale + self.shift
        codes = [table(categories[:, place]).unsqueeze(1) for place, table in enumerate(self.tables)]
        return self.last(self.encoder(torch.cat([numbers, *codes], dim=1)).mean(dim=1)).squeeze(1)
