"""Networks of sequences for the training tests. Only the training program imports it."""

import torch
from torch import Tensor, nn


class Gated(nn.Module):
    """A GRU over numbers and embedded categories; ``horizon`` answers a row, or one without a dimension of its own."""

    def __init__(
        self, *, numeric: int, cardinalities: tuple[int, ...], hidden: int = 8, horizon: int = 0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList([nn.Embedding(codes, 2) for codes in cardinalities])
        self.gates = nn.GRU(numeric + 2 * len(cardinalities), hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.answer = nn.Linear(hidden, horizon or 1)
        self.single = horizon == 0

    def initial_state(self, sequences: int) -> Tensor:
        return torch.zeros(sequences, self.gates.hidden_size)

    def forward(self, numeric: Tensor, categories: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        codes = [table(categories[..., place]) for place, table in enumerate(self.embeddings)]
        hidden, last = self.gates(torch.cat([numeric, *codes], dim=2), state.unsqueeze(0))
        answers = self.answer(self.dropout(hidden))
        return answers.squeeze(2) if self.single else answers, last[0]


class Memory(nn.Module):
    """An LSTM, whose two states lie side by side, and which learns the state that it begins in."""

    def __init__(self, *, numeric: int, cardinalities: tuple[int, ...], hidden: int = 4) -> None:
        super().__init__()
        self.cell = nn.LSTM(numeric, hidden, batch_first=True)
        self.answer = nn.Linear(hidden, 1)
        self.begin = nn.Parameter(torch.full((2 * hidden,), 0.1))

    def initial_state(self, sequences: int) -> Tensor:
        return self.begin.expand(sequences, -1)

    def forward(self, numeric: Tensor, categories: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        hidden, cell = (part.unsqueeze(0).contiguous() for part in state.chunk(2, dim=1))
        hidden, (last, kept) = self.cell(numeric, (hidden, cell))
        return self.answer(hidden).squeeze(2), torch.cat([last[0], kept[0]], dim=1)


class Mixing(Gated):
    """Lets sequences side by side see each other."""

    def forward(self, numeric: Tensor, categories: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        answers, last = super().forward(numeric, categories, state)
        return answers + numeric.mean(), last


class Stateless(nn.Module):
    """Has no state to begin in."""

    def __init__(self, *, numeric: int, cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        self.answer = nn.Linear(numeric, 1)

    def forward(self, numeric: Tensor, categories: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return self.answer(numeric).squeeze(2), state


class Forgetful(Gated):
    """Returns its answers alone."""

    def forward(self, numeric: Tensor, categories: Tensor, state: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(numeric, categories, state)[0]
