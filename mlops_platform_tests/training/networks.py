"""Networks for the training tests: some that learn and some that go wrong. Only the training program imports it."""

import os
import random
import resource
import signal
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn


class Tiny(nn.Module):
    """An embedding a category and one hidden layer."""

    def __init__(self, *, numeric: int, cardinalities: tuple[int, ...], hidden: int = 8) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList([nn.Embedding(cardinality, 3) for cardinality in cardinalities])
        width = numeric + 3 * len(cardinalities)
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.SiLU(), nn.Dropout(0.1), nn.Linear(hidden, 1)
        )

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        embedded = [embedding(categories[:, index]) for index, embedding in enumerate(self.embeddings)]
        return self.layers(torch.cat([numeric, *embedded], dim=1)).squeeze(1)


class Explodes(Tiny):
    """Its loss is no number from the first step on."""

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        return super().forward(numeric, categories) / torch.zeros(())


class Wide(Tiny):
    """Forgets the squeeze."""

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        return super().forward(numeric, categories).unsqueeze(1)


class Killed(Tiny):
    """Is killed in its first step, as by the kernel when memory runs out."""

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(numeric, categories)


class Chancy(Tiny):
    """Asks every random number generator of the process as it learns: python's, numpy's and torch's; takes its time."""

    def __init__(self, *, numeric: int, cardinalities: tuple[int, ...], pause: float = 0.0) -> None:
        super().__init__(numeric=numeric, cardinalities=cardinalities)
        self.pause = pause

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        answer = super().forward(numeric, categories)
        if self.training:
            time.sleep(self.pause)
            answer = answer + random.gauss(0, 0.1) + np.random.standard_normal() * 0.1
        return answer


class KilledOnce(Chancy):
    """Is killed in its ninth step, in the first process that finds the file ``DEADLY``, which it removes."""

    steps = 0

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        deadly = Path(os.environ.get("DEADLY", "nowhere"))
        if self.steps == 9 and deadly.exists():
            deadly.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(numeric, categories)


class Slow(Tiny):
    """Takes its time at every step."""

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        time.sleep(1)
        return super().forward(numeric, categories)


class Shared(nn.Module):
    """One table for all categories, their codes shifted, so that no row of it is any one category's."""

    def __init__(self, *, numeric: int, cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        starts = [sum(cardinalities[:place]) for place in range(len(cardinalities))]
        self.register_buffer("starts", torch.tensor(starts), persistent=False)
        self.table = nn.Embedding(sum(cardinalities), 2)
        self.layer = nn.Linear(numeric + 2 * len(cardinalities), 1)

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        embedded = self.table(categories + self.starts).flatten(1)
        return self.layer(torch.cat([numeric, embedded], dim=1)).squeeze(1)


class Crossed(Tiny):
    """Each category's code is also used as a number, past its table."""

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        return super().forward(numeric, categories) + 0.1 * categories.sum(1)


class Centred(Tiny):
    """Has a normaliser of its own, whose name and shape within the network are those of the scorer's."""

    def __init__(self, *, numeric: int, cardinalities: tuple[int, ...]) -> None:
        super().__init__(numeric=numeric, cardinalities=cardinalities)
        self.normaliser = nn.Module()
        self.normaliser.register_parameter("mean", nn.Parameter(torch.rand(numeric // 2)))

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        return super().forward(numeric, categories) + self.normaliser.mean.sum()


class Steps(nn.Module):
    """A forecast of as many steps as it is told, linear in everything."""

    def __init__(self, *, numeric: int, cardinalities: tuple[int, ...], horizon: int) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList([nn.Embedding(cardinality, horizon) for cardinality in cardinalities])
        self.layer = nn.Linear(numeric, horizon)

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        answers: torch.Tensor = self.layer(numeric)
        for place, embedding in enumerate(self.embeddings):
            answers = answers + embedding(categories[:, place])
        return answers


class Even(nn.Module):
    """Answers no otherwise in training, and each row for itself: embeddings and two hidden layers."""

    def __init__(self, *, numeric: int, cardinalities: tuple[int, ...], hidden: int = 16) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList([nn.Embedding(cardinality, 3) for cardinality in cardinalities])
        self.first = nn.Linear(numeric + 3 * len(cardinalities), hidden)
        self.rest = nn.Sequential(nn.LayerNorm(hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.last = nn.Linear(hidden, 1)

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        embedded = [embedding(categories[:, index]) for index, embedding in enumerate(self.embeddings)]
        return self.last(self.rest(self.first(torch.cat([numeric, *embedded], dim=1)))).squeeze(1)


class Late(Tiny):
    """Its loss is no number from some step on, and some answers of a validation."""

    steps = 0

    def __init__(self, *, numeric: int, cardinalities: tuple[int, ...], after: int) -> None:
        super().__init__(numeric=numeric, cardinalities=cardinalities)
        self.after = after

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        answers = super().forward(numeric, categories)
        return answers / 0.0 * 0.0 if self.steps > self.after else answers


class Hungry(Tiny):
    """Takes 2 MiB for each row that it learns from, in a process that may take 180 MiB more than it has at first."""

    wide = 1 << 19
    limited = False

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        answers = super().forward(numeric, categories)
        if not self.training or len(numeric) <= 16:
            return answers
        if not self.limited:
            self.limited = True
            status = Path("/proc/self/status").read_text(encoding="utf-8")
            taken = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData"))
            resource.setrlimit(resource.RLIMIT_DATA, (taken * 1024 + 180 * 2**20, resource.RLIM_INFINITY))
        return (answers.unsqueeze(1) * torch.ones(self.wide)).mean(1)


class TwoFaced(Tiny):
    """Answers numbers beyond all that it was trained on otherwise than the program that is exported of it."""

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        answers = super().forward(numeric, categories)
        return answers if torch.compiler.is_exporting() else answers + (numeric.abs() >= 8).any(1).float()


class Deciding(Tiny):
    """Lets a number decide what it does next, which no traced program can."""

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        answers = super().forward(numeric, categories)
        return answers if float(answers.detach().sum()) > -1e9 else -answers


class Marked(torch.Tensor):
    """A tensor of a class of its own, which torch would pickle."""
