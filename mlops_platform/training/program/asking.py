"""How a network is asked and what its answers are worth: the one place that knows the form of its call."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mlops_platform.errors import TrainingError
from mlops_platform.training.program.network import ForecastProgram, ScoringProgram
from mlops_platform.training.program.objective import objective_of
from mlops_platform.training.program.stepping import call, initial_state, is_of_sequences

_MANY = 1500


@dataclass(frozen=True)
class Questions:
    """Rows as a network reads them, and what it should answer.

    Attributes:
        numeric: float32 [N, W], as the normaliser gives them.
        categories: int64 [N, C].
        label: float32 [N], 0 or 1; of a forecast [N, H], NaN where unknown.
        program: Knows the task, hence the loss and the shape of answers; its network is not asked.
        module: Reference to the network's class, for errors.
    """

    numeric: Tensor
    categories: Tensor
    label: Tensor
    program: ScoringProgram
    module: str

    def __len__(self) -> int:
        return len(self.label)

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What the network is given."""
        return self.numeric, self.categories

    def take(self, places: Any) -> "Questions":
        """Some of the rows: a slice or a tensor of places."""
        return replace(self, numeric=self.numeric[places], categories=self.categories[places],
                       label=self.label[places])  # fmt: skip

    def copy(self) -> "Questions":
        """The same rows in other memory."""
        return replace(self, numeric=self.numeric.clone(), categories=self.categories.clone(), label=self.label.clone())

    def ask(self, network: nn.Module) -> Tensor:
        """A network's answers.

        Raises:
            TrainingError: It raised an error, or answered in another form than the task asks for.
        """
        try:
            answers = _answers(network, *self.inputs)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except TrainingError:
            raise
        except Exception as error:
            shapes = ", ".join(f"{name} {list(t.shape)}" for name, t in zip(_NAMES, self.inputs, strict=True))
            raise TrainingError(
                required=f"a forward that answers {shapes}", found=f"{type(error).__name__}: {error}{_where(error)}",
                remedy="mend that line; mlops check-module runs it again without training",
            ) from error  # fmt: skip
        if not isinstance(answers, Tensor) or not answers.is_floating_point():
            found = f"a {type(answers).__name__}" + (f" of {answers.dtype}" if isinstance(answers, Tensor) else "")
            raise TrainingError(required="answers that are one tensor of floating-point numbers", found=found,
                                remedy=f"let the forward of {self.module} return just that")  # fmt: skip
        objective_of(self.program).require_shape(answers, self.label, self.module)
        return answers

    def loss(self, answers: Tensor) -> Tensor:
        """Mean loss of answers, a scalar."""
        return objective_of(self.program).loss(answers, self.label)


def _answers(network: nn.Module, numeric: Tensor, categories: Tensor) -> Any:
    """What a network answers rows; one of sequences gets each row as both steps of a sequence, so that its state, and
    what decides it, counts."""
    if not is_of_sequences(network):
        return network(numeric, categories)
    steps = [rows.unsqueeze(1).repeat(1, 2, 1) for rows in (numeric, categories)]
    return call(network, steps[0], steps[1], initial_state(network, len(numeric)))[0][:, -1]


_NAMES = ("numeric", "categories")


def made_up(program: ScoringProgram, module: str, cardinalities: tuple[int, ...], count: int) -> Questions:
    """Rows of chance, always the same, whose labels lie on a straight line or beside it: any network can learn them.

    Args:
        program: Of the task; its normaliser tells the width.
        module: Reference to the network's class.
        cardinalities: Number of codes of each category; all of them come up as far as there are rows.
        count: Of the rows.
    """
    chance = torch.Generator().manual_seed(0)
    columns = program.normaliser.width // 2
    numbers = torch.randn(count, columns, generator=chance)
    missing = (torch.rand(count, columns, generator=chance) < 0.1).float()
    codes = [_codes(cardinality, count, chance) for cardinality in cardinalities]
    categories = torch.stack(codes, dim=1) if codes else torch.empty(count, 0, dtype=torch.int64)
    line = numbers.sum(1)
    for column, cardinality in zip(codes, cardinalities, strict=True):
        line = line + torch.randn(cardinality, generator=chance)[column]
    label = (line > line.median()).float()
    if isinstance(program, ForecastProgram):
        spread = torch.linspace(1.0, 2.0, len(program.label_scale))
        label = program.in_units(line.unsqueeze(1) / line.std() * spread)
    return Questions(torch.cat([numbers, missing], dim=1), categories, label, program, module)


def invented(count: int) -> tuple[int, ...]:
    """Numbers of codes for so many categories, where no dataset tells them: few, some, and very many."""
    return tuple((3, 40, _MANY)[place % 3] for place in range(count))


def _codes(cardinality: int, count: int, chance: torch.Generator) -> Tensor:
    return torch.randperm(max(cardinality, count), generator=chance)[:count] % cardinality


def _where(error: Exception) -> str:
    """File and line at which an error was raised, the last of them outside torch."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "/torch/" not in name and name != __file__:
            place = f" ({name.rpartition('/')[2]}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return place
