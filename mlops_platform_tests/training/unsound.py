"""Networks with one fault each, such as real ones have had."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlops_platform_tests.training.networks import Steps, Tiny


class Squeezes(Tiny):
    """Loses its only dimension for a single row."""

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        return super().forward(numeric, categories).unsqueeze(1).squeeze()


class Crashes(Tiny):
    """Is wider inside than its inputs are."""

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        return super().forward(torch.cat([numeric, numeric], dim=1), categories)


class Tuples(Tiny):
    """Answers more than it is asked."""

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        return super().forward(numeric, categories), numeric  # type: ignore[return-value]


class Detached(Tiny):
    """Cuts its embeddings off from the loss, and has a layer that it never uses."""

    def __init__(self, *, numeric: int, cardinalities: tuple[int, ...]) -> None:
        super().__init__(numeric=numeric, cardinalities=cardinalities)
        self.spare = nn.Linear(2, 2)

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        embedded = [table(categories[:, place]).detach() for place, table in enumerate(self.embeddings)]
        return self.layers(torch.cat([numeric, *embedded], dim=1)).squeeze(1)


class Untrained(nn.Module):
    """Has nothing to train."""

    def __init__(self, *, numeric: int, cardinalities: tuple[int, ...]) -> None:
        super().__init__()

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        return numeric.sum(1)


class Roots(Tiny):
    """Its answers are finite and their gradients are not."""

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        return torch.sqrt(super().forward(numeric, categories) * 0.0)


class Batchwise(Tiny):
    """Subtracts the mean of whatever batch it is in."""

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        answers = super().forward(numeric, categories)
        return answers - answers.mean()


class Forgets(Tiny):
    """Decides by numbers of chance that no state_dict holds."""

    def __init__(self, *, numeric: int, cardinalities: tuple[int, ...]) -> None:
        super().__init__(numeric=numeric, cardinalities=cardinalities)
        self.projection = torch.randn(numeric, numeric)

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        return super().forward(numeric @ self.projection, categories)


class Counts(Tiny):
    """Remembers its training outside of its weights."""

    seen = 0

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        self.seen += self.training
        return super().forward(numeric, categories) + self.seen


class Gambles(Tiny):
    """Drops out whether it trains or not."""

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        return super().forward(functional.dropout(numeric, 0.5), categories)


class Overwrites(Tiny):
    """Clears the flags of what it was given."""

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        numeric[:, numeric.shape[1] // 2 :] = 0
        return super().forward(numeric, categories)


class Bounded(Tiny):
    """Answers with scores in place of logits."""

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        return torch.sigmoid(super().forward(numeric, categories))


class Frozen(Tiny):
    """Sound: what it does not train it says, its answers begin as zeros, and one table is all padding."""

    def __init__(self, *, numeric: int, cardinalities: tuple[int, ...]) -> None:
        super().__init__(numeric=numeric, cardinalities=cardinalities)
        self.embeddings[0].requires_grad_(False)
        self.padding = nn.Embedding(1, 1, padding_idx=0)
        nn.init.zeros_(self.layers[-1].weight)

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        nothing = self.padding(torch.zeros(len(numeric), dtype=torch.int64)).squeeze(1)
        return super().forward(numeric, categories) + nothing


class Rounds(Tiny):
    """Answers with classes."""

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        return (super().forward(numeric, categories) > 0).long()


class Longer(Steps):
    """Forecasts a step more than it is told."""

    def __init__(self, *, numeric: int, cardinalities: tuple[int, ...], horizon: int) -> None:
        super().__init__(numeric=numeric, cardinalities=cardinalities, horizon=horizon + 1)
