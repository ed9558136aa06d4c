"""The network that forecasts mean departure delays: a memory of the day so far beside a look at the hour.

The look is one hidden layer over the numbers and embedded categories of the hour; the hour of the week enters through
an embedding, from which the network learns what an hour is usually like. The memory is a gated recurrent unit (K. Cho
et al., EMNLP 2014) that has gone through all hours of the airport before: whether it has been falling behind since the
morning, and how fast it recovers. The forecast is linear in both.

A year has few storms, so much is dropped while it learns, and what is read even before it is used.
"""

import torch
from torch import Tensor, nn


class CongestionNet(nn.Module):
    """Mean delays of the hours ahead, in standard deviations; see ``spec.Network`` for the form of its call.

    Args:
        numeric: width of the numeric input: the standardised columns, then as many 0/1 flags for missing values.
        cardinalities: number of codes of each category, code 0 (unknown) included.
        horizon: hours ahead.
        hidden: units of the look at the hour.
        memory: units of the memory.
        dropout: of both.
        input_dropout: of what is read.
        embedding_limit: the most dimensions an embedding gets; else the square root of its cardinality.
    """

    def __init__(
        self,
        *,
        numeric: int,
        cardinalities: tuple[int, ...],
        horizon: int,
        hidden: int = 128,
        memory: int = 32,
        dropout: float = 0.4,
        input_dropout: float = 0.1,
        embedding_limit: int = 8,
    ) -> None:
        super().__init__()
        widths = [min(embedding_limit, max(2, int(codes**0.5))) for codes in cardinalities]
        tables = [nn.Embedding(codes, width) for codes, width in zip(cardinalities, widths, strict=True)]
        for table in tables:
            nn.init.normal_(table.weight, std=0.05)
        self.embeddings = nn.ModuleList(tables)
        width = numeric + sum(widths)
        self.input_dropout, self.dropout = nn.Dropout(input_dropout), nn.Dropout(dropout)
        self.look = nn.Sequential(nn.Linear(width, hidden), nn.ReLU())
        self.notice = nn.Sequential(nn.Linear(width, memory), nn.ReLU())
        self.memory = nn.GRU(memory, memory, batch_first=True)
        self.answer = nn.Linear(hidden + memory, horizon)

    def initial_state(self, sequences: int) -> Tensor:
        """Nothing to remember, [sequences, memory]."""
        return torch.zeros(sequences, self.memory.hidden_size)

    def forward(self, numeric: Tensor, categories: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised delays [S, T, horizon] of T hours of S airports, and what is remembered after them.

        Takes numbers [S, T, numeric] (float32), codes [S, T, categories] (int64) and what was remembered before.
        """
        codes = [table(categories[..., place]) for place, table in enumerate(self.embeddings)]
        read = self.input_dropout(torch.cat([numeric, *codes], dim=2))
        remembered, last = self.memory(self.notice(read), state.unsqueeze(0))
        return self.answer(self.dropout(torch.cat([self.look(read), remembered], dim=2))), last[0]
