"""How a network of sequences is called: the state before any row, several steps at once, one step for the export."""

from dataclasses import replace

from torch import Tensor, nn

from mlops_platform.errors import TrainingError
from mlops_platform.scoring import Encoding
from mlops_platform.scoring.steps import Carried
from mlops_platform.spec import Network
from mlops_platform.training.program.network import ScoringProgram


class OneStep(nn.Module):
    """A scorer of sequences as it is exported: one step of each."""

    def __init__(self, program: ScoringProgram) -> None:
        super().__init__()
        self.program = program

    @property
    def resolution(self) -> Tensor:
        """What scores are compared in."""
        return self.program.resolution

    def initial_state(self, sequences: int) -> Tensor:
        """The state before any row; see ``initial_state``."""
        return initial_state(self.program.network, sequences)

    def whole(self, numeric: Tensor, categories: Tensor) -> Tensor:
        """Scores [S, T] or [S, T, H] of sequences from their first steps on, all at once; see ``answers``."""
        told, _ = answers(self.program, numeric, categories, self.initial_state(len(numeric)))
        return self.program.in_units(told)

    def forward(self, numeric: Tensor, categories: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [S, F] raw, int64 [S, C] and state [S, ...] to scores float32 [S] or [S, H], and the state after."""
        told, after = answers(self.program, numeric.unsqueeze(1), categories.unsqueeze(1), state)
        return self.program.in_units(told.squeeze(1)), after


def is_of_sequences(network: nn.Module) -> bool:
    """Whether a network has the form of one of sequences."""
    return callable(getattr(network, "initial_state", None))


def require_form(network: nn.Module, recipe: Network) -> None:
    """Refuses a network that is not of the form that its declaration says.

    Raises:
        TrainingError: It is of sequences and declared as one of rows, or the other way about.
    """
    found, declared = is_of_sequences(network), recipe.sequence is not None
    if found != declared:
        raise TrainingError(
            required=f"{recipe.module} {'with' if declared else 'without'} a method initial_state, as a network of "
            f"{'sequences' if declared else 'rows'}", found="one" if found else "none",
            remedy=f"declare Network(sequence={'None' if declared else 'Sequence(...)'}), or mend the class",
        )  # fmt: skip


def initial_state(network: nn.Module, sequences: int) -> Tensor:
    """The state of a network of sequences before any row, floating [sequences, ...], where its weights are.

    Raises:
        TrainingError: It is no such tensor.
    """
    state = network.initial_state(sequences)  # type: ignore[operator]
    if not isinstance(state, Tensor) or not state.is_floating_point() or state.shape[:1] != (sequences,):
        found = f"shape {tuple(state.shape)} of {state.dtype}" if isinstance(state, Tensor) else f"{state!r}"
        raise TrainingError(
            required=f"initial_state({sequences}) of {type(network).__name__} to return a floating tensor "
            f"[{sequences}, ...]", found=found, remedy="let it return one row for each sequence",
        )  # fmt: skip
    weight = next(network.parameters(), state)
    return state.to(weight.device)


def answers(program: ScoringProgram, numeric: Tensor, categories: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """What a network of sequences answers raw rows.

    Args:
        program: Normalises, and holds the network.
        numeric: float32 [S, T, F], raw.
        categories: int64 [S, T, C].
        state: Before these steps, [S, ...].

    Returns:
        Answers [S, T] or [S, T, H], and the state after them.

    Raises:
        TrainingError: The network returns something else.
    """
    normal = program.normaliser(numeric.flatten(0, 1)).unflatten(0, numeric.shape[:2])
    return call(program.network, normal, categories, state)


def call(network: nn.Module, numeric: Tensor, categories: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """As ``answers``, of normalised numbers float32 [S, T, W]."""
    returned = network(numeric, categories, state)
    ok = isinstance(returned, tuple) and len(returned) == 2 and all(isinstance(part, Tensor) for part in returned)
    if not ok or returned[0].shape[:2] != numeric.shape[:2] or returned[1].shape != state.shape:
        found = ", ".join(str(tuple(part.shape)) for part in returned) if ok else type(returned).__name__
        raise TrainingError(
            required=f"answers of shape {tuple(numeric.shape[:2])}, or with a number for each step of a forecast, and "
            f"a state of shape {tuple(state.shape)}", found=found,
            remedy=f"let the forward of {type(network).__name__} return an answer for each row and the state after "
            "the last",
        )  # fmt: skip
    told, after = returned
    return told, after


def carrying(program: ScoringProgram, encoding: Encoding, recipe: Network) -> Encoding:
    """The encoding with the state that a trained network of sequences begins in."""
    assert recipe.sequence is not None
    begin = initial_state(program.network, 1)[0].detach().float().tolist()
    return replace(encoding, carried=Carried(recipe.sequence.entity, begin))
