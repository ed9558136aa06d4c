"""The network that predicts late arrivals: one wide hidden layer over bent numbers and embedded categories.

Delays answer to their causes with bends: nothing happens up to some value, then a lot. So each standardised number also
enters cut off below at a few fixed knots (`relu(x - knot)`), and the first layer can put a bend wherever it helps; this
does what a second hidden layer would, with less to overfit (multivariate adaptive regression splines use the same
basis: J. Friedman, Annals of Statistics 19, 1991).

Categories with few values (carrier, origin, destination) get an embedding of several dimensions. Those with many
(flight number, tail number) have too few rows each for that: they would learn their rows by heart. They only shift the
logit by one number each, which starts at 0, is held small, and is often dropped in training, so that the rest learns to
do without.
"""

import torch
from torch import Tensor, nn

KNOTS = (-1.5, -0.75, -0.3, 0.0, 0.3, 0.75, 1.5, 2.5)
"""Where the numbers are bent, in standard deviations from their mean."""


class FlightDelayNet(nn.Module):
    """Logits for "arrives 15 minutes late or more".

    Args:
        numeric: width of the numeric input: the standardised columns, then as many 0/1 flags for missing values.
        cardinalities: number of codes of each category, code 0 (unknown) included.
        hidden: units of the hidden layer.
        dropout: of the hidden layer.
        clip: standardised numbers are cut off at plus and minus this.
        embedding_dropout: of the embeddings of small categories.
        embedding_limit: the most dimensions an embedding gets; else the square root of its cardinality.
        offset_from: categories with this many codes or more only shift the logit.
        offset_dropout: how often the shift of a category is left out in training.
        offset_scale: holds the shifts small: they learn at this fraction of the learning rate.
    """

    knots: Tensor

    def __init__(
        self,
        *,
        numeric: int,
        cardinalities: tuple[int, ...],
        hidden: int = 256,
        dropout: float = 0.3,
        clip: float = 4.0,
        embedding_dropout: float = 0.2,
        embedding_limit: int = 8,
        offset_from: int = 1000,
        offset_dropout: float = 0.3,
        offset_scale: float = 0.3,
    ) -> None:
        super().__init__()
        self.columns = numeric // 2
        self.clip = clip
        self.offset_scale = offset_scale
        self.embedded = [place for place, codes in enumerate(cardinalities) if codes < offset_from]
        self.shifting = [place for place, codes in enumerate(cardinalities) if codes >= offset_from]
        widths = [min(embedding_limit, max(2, int(cardinalities[place] ** 0.5))) for place in self.embedded]
        embeddings = [nn.Embedding(cardinalities[p], width) for p, width in zip(self.embedded, widths, strict=True)]
        offsets = [nn.Embedding(cardinalities[place], 1, padding_idx=0) for place in self.shifting]
        for embedding in embeddings:
            nn.init.normal_(embedding.weight, std=0.05)
        for offset in offsets:
            nn.init.zeros_(offset.weight)
        self.embeddings, self.offsets = nn.ModuleList(embeddings), nn.ModuleList(offsets)
        self.register_buffer("knots", torch.tensor(KNOTS), persistent=False)
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.offset_dropout = nn.Dropout(offset_dropout)
        width = numeric + self.columns * len(KNOTS) + sum(widths)
        self.body = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 1))

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        """Logits [N] of numbers [N, numeric] (float32) and category codes [N, categories] (int64)."""
        numbers = numeric[:, : self.columns].clamp(-self.clip, self.clip)
        bent = torch.relu(numbers.unsqueeze(2) - self.knots).flatten(1)
        inputs = [numbers, numeric[:, self.columns :], bent]
        if self.embedded:
            codes = [table(categories[:, place]) for place, table in zip(self.embedded, self.embeddings, strict=True)]
            inputs.append(self.embedding_dropout(torch.cat(codes, dim=1)))
        logits = self.body(torch.cat(inputs, dim=1))
        for place, table in zip(self.shifting, self.offsets, strict=True):
            logits = logits + self.offset_scale * self.offset_dropout(table(categories[:, place]))
        return logits.squeeze(1)
