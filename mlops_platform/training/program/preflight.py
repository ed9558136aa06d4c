"""Checks of a declared module before it costs money: each a plain function of the module, some rows and nothing else.

The trainer runs the cheap ones on the first rows of its dataset before the first epoch; ``mlops check-module`` and the
contract pack run all of them. Whatever they do, they do to copies, and every source of chance is put back afterwards,
so that a training gives the same bits with and without them.
"""

import contextlib
import copy
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from safetensors.torch import load as tensors_of
from safetensors.torch import save
from torch import Tensor, nn

from mlops_platform.errors import TrainingError
from mlops_platform.training.program.asking import Questions, made_up
from mlops_platform.training.soundness import ModuleFinding

ROWS = 16
_STEPS = 200
_NOISE = 0.1
_TOLERANCE = 1e-4
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


@dataclass(frozen=True)
class Subject:
    """A module to be checked.

    Attributes:
        make: Gives another instance of it, with fresh weights.
        network: With the weights that training begins with; left as it is.
        rows: That it is asked: the dataset's first ones, or made-up ones.
        cardinalities: Number of codes of each category.
        learning_rate: As declared.
    """

    make: Callable[[], nn.Module]
    network: nn.Module
    rows: Questions
    cardinalities: tuple[int, ...]
    learning_rate: float

    @property
    def made_up(self) -> Questions:
        """Rows in which every category comes up."""
        return made_up(self.rows.program, self.rows.module, self.cardinalities, 2 * ROWS)


Check = Callable[[Subject], ModuleFinding]


def examine(subject: Subject, checks: Sequence[Check]) -> list[ModuleFinding]:
    """What checks find, in their order; a module that cannot even be asked fails each of them with its own error."""
    found = []
    for check in checks:
        with _aside():
            try:
                # A copy for each, since a module may change what it is given.
                found.append(check(replace(subject, rows=subject.rows.copy())))
            except TrainingError as error:
                found.append(ModuleFinding(name=check.__name__, passed=False, required=error.required,
                                           found=error.found, remedy=error.remedy))  # fmt: skip
    return found


def answers_have_the_shape(subject: Subject) -> ModuleFinding:
    """An answer for each row, as the task asks for it, for many rows and for a single one."""
    network = copy.deepcopy(subject.network)
    rows = subject.rows
    network.train()
    rows.ask(network)
    network.eval()
    answers = rows.ask(network)
    rows.take(slice(0, 1)).ask(network)
    required = "answers of the task's shape, for a batch and for a single row"
    return _finding("answers_have_the_shape", required, [], f"{tuple(answers.shape)} of {answers.dtype}", "")


def numbers_are_finite(subject: Subject) -> ModuleFinding:
    """No answer and no gradient is NaN or infinite at the first step."""
    network = copy.deepcopy(subject.network)
    bad = []
    for mode in (False, True):
        network.train(mode)
        answers = subject.rows.ask(network)
        wrong = int((~torch.isfinite(answers)).sum())
        if wrong:
            bad.append(f"{wrong} of {answers.numel()} answers {'while it trains' if mode else 'while it evaluates'}")
    if not bad and answers.requires_grad:
        subject.rows.loss(answers).backward()
        named = _trained(network).items()
        bad = [f"the gradient of {n}" for n, p in named if p.grad is not None and not torch.isfinite(p.grad).all()]
    required = "finite answers and gradients for the first rows"
    remedy = "look for a division by zero, a logarithm or a root of what may be zero or less"
    return _finding("numbers_are_finite", required, bad, "all of them", remedy, "NaN or infinite: ")


def gradients_reach_every_parameter(subject: Subject) -> ModuleFinding:
    """Every trained parameter gets a gradient that is not all zero, on some rows and with some weights."""
    whole = set(_trained(subject.network)) - _unreachable(subject.network)
    missing = set(whole)
    for attempt, (rows, training) in enumerate(
        [(subject.rows, True), (subject.made_up, True), (subject.made_up, False), (subject.made_up, True)]
    ):
        # Weights that begin as zeros hide from others what would reach them: hence some noise from the second one on.
        network = _shaken(subject.network, attempt) if attempt else copy.deepcopy(subject.network)
        answers = rows.ask(network.train(training))
        if answers.requires_grad:
            rows.loss(answers).backward()
        got = {n for n, p in _trained(network).items() if p.grad is not None and bool(p.grad.any())}
        missing -= got
        if not missing:
            break
    required = "a gradient for every parameter, and one parameter at least"
    bad = sorted(missing) if whole else ["there is none that is trained"]
    remedy = (
        "use them in forward without .detach() or a step that has no gradient; take out those that are not needed, "
    )
    remedy += "or freeze them: parameter.requires_grad_(False)"
    named = "no gradient for: " if whole else ""
    return _finding("gradients_reach_every_parameter", required, bad, f"all {len(whole)}", remedy, named)


def a_row_stands_alone(subject: Subject) -> ModuleFinding:
    """The answer to a row depends neither on its batch nor on its place in it."""
    required = f"while it evaluates, equal answers to a row in any batch and order, within {_TOLERANCE}"
    worst, bad = 0.0, list[str]()
    for rows in (subject.rows, subject.made_up.take(slice(0, ROWS))):
        for network in (copy.deepcopy(subject.network), _shaken(subject.network, 1)):
            rows.ask(network.train())
            with torch.inference_mode():
                network.eval()
                whole = rows.ask(network)
                turned = rows.take(torch.arange(len(rows) - 1, -1, -1)).ask(network).flip(0)
                alone = torch.cat([rows.take(slice(row, row + 1)).ask(network) for row in range(len(rows))])
            for how, other in (("in reverse order", turned), ("alone", alone)):
                off = _difference(whole, other)
                worst = max(worst, off)
                if off > _TOLERANCE and how not in " ".join(bad):
                    bad.append(f"asked {how} they are {off:.2g} off")
    remedy = "let forward use no statistics of the batch while it evaluates (self.training is False)"
    return _finding("a_row_stands_alone", required, bad, f"{worst:.2g} off at most", remedy)


def weights_hold_everything(subject: Subject) -> ModuleFinding:
    """Weights written as safetensors and read into another instance give the same answers, also after a step."""
    network = copy.deepcopy(subject.network)
    _step(network, subject.rows, torch.optim.SGD(network.parameters(), lr=1e-3) if _trained(network) else None)
    saved = save({n: value.clone().contiguous() for n, value in network.state_dict().items()})
    _seed(1)
    other = subject.make()
    required = "state_dict to hold all that decides the answers"
    remedy = "register it: nn.Parameter, or register_buffer for what is not trained"
    try:
        other.load_state_dict(tensors_of(saved))
    except RuntimeError as error:
        return _finding("weights_hold_everything", required, [str(error)], "", remedy)
    with torch.inference_mode():
        one, two = (subject.made_up.ask(each.eval()) for each in (network, other))
    same = torch.equal(torch.nan_to_num(one), torch.nan_to_num(two))
    bad = [] if same else [f"another instance with the same weights answers {_difference(one, two):.2g} off"]
    return _finding("weights_hold_everything", required, bad, f"{len(saved):,} bytes, equal answers", remedy)


def chance_is_only_in_training(subject: Subject) -> ModuleFinding:
    """The same rows get the same answers twice while it evaluates."""
    network = copy.deepcopy(subject.network).eval()
    with torch.inference_mode():
        one, two = (torch.nan_to_num(subject.rows.ask(network)) for _ in range(2))
    bad = [] if torch.equal(one, two) else [f"the second time they are {_difference(one, two):.2g} off"]
    required = "while it evaluates, equal answers to equal rows"
    remedy = "use nn.Dropout, or functional.dropout(..., training=self.training), and no state that a call changes"
    return _finding("chance_is_only_in_training", required, bad, "equal bits", remedy)


def inputs_stay_as_they_are(subject: Subject) -> ModuleFinding:
    """A call changes nothing of what it is given."""
    network, rows = copy.deepcopy(subject.network), subject.rows.copy()
    for mode in (True, False):
        rows.ask(network.train(mode))
    pairs = zip(rows.inputs, subject.rows.inputs, strict=True)
    changed = [place for place, (now, before) in enumerate(pairs) if not torch.equal(now, before)]
    bad = [f"argument {place + 1} of forward was changed" for place in changed]
    required = "a forward that changes none of its inputs"
    remedy = "replace operations in place (x += ..., x[...] = ..., relu_) on the inputs by ones that make new tensors"
    return _finding("inputs_stay_as_they_are", required, bad, "unchanged", remedy)


def one_batch_can_be_learnt(subject: Subject) -> ModuleFinding:
    """The loss on one small batch, which a straight line divides, falls to half within some steps."""
    rows = subject.made_up.take(slice(0, ROWS))
    rates = dict.fromkeys((subject.learning_rate, 1e-2, 5e-2))
    told = []
    for rate in rates:
        _seed(0)
        first, lowest, steps = _overfitted(subject.make(), rows, rate)
        told.append(f"{first:.3g} to {lowest:.3g} in {steps} steps at learning rate {rate:g}")
        if lowest < first / 2:
            return _finding("one_batch_can_be_learnt", _LEARNT, [], told[-1], "")
    remedy = "look whether forward uses its inputs, and whether its answers are logits, neither bounded nor rounded"
    return _finding("one_batch_can_be_learnt", _LEARNT, told, "", remedy, "the loss went from ")


_LEARNT = f"the loss on one batch of {ROWS} rows to fall to half within {_STEPS} steps"
CHEAP: tuple[Check, ...] = (
    answers_have_the_shape, numbers_are_finite, gradients_reach_every_parameter, a_row_stands_alone,
    weights_hold_everything, chance_is_only_in_training, inputs_stay_as_they_are,
)  # fmt: skip
ALL: tuple[Check, ...] = (*CHEAP, one_batch_can_be_learnt)


def _finding(name: str, required: str, bad: list[str], good: str, remedy: str, said: str = "") -> ModuleFinding:
    found = f"{said}{'; '.join(bad)}" if bad else good
    return ModuleFinding(name=name, passed=not bad, required=required, found=found, remedy=remedy if bad else "")


@contextlib.contextmanager
def _aside() -> Iterator[None]:
    """Puts back every source of chance that the work inside may have drawn from."""
    python, numbers = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices=devices):
            _seed(0)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)


def _seed(seed: int) -> None:
    # torch.manual_seed would also seed a GPU that nothing has used yet, as it is used first: after all this.
    torch.default_generator.manual_seed(seed)


def _trained(network: nn.Module) -> dict[str, nn.Parameter]:
    return {name: weight for name, weight in network.named_parameters() if weight.requires_grad}


def _unreachable(network: nn.Module) -> set[str]:
    """Tables of nothing but padding: those of a category of which every value is missing."""
    tables = ((n, m) for n, m in network.named_modules() if isinstance(m, nn.Embedding))
    return {f"{n}.weight" for n, m in tables if m.num_embeddings == 1 and m.padding_idx == 0}


def _shaken(network: nn.Module, seed: int) -> nn.Module:
    """A copy with noise on every weight."""
    twin, chance = copy.deepcopy(network), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in twin.parameters():
            weight.add_(torch.randn(weight.shape, generator=chance).to(weight.dtype), alpha=_NOISE)
    return twin


def _difference(one: Tensor, two: Tensor) -> float:
    """Largest difference, in units of the largest answer where that is above one."""
    size = max(1.0, float(torch.nan_to_num(one).abs().max()))
    return float((torch.nan_to_num(one) - torch.nan_to_num(two)).abs().max()) / size


def _step(network: nn.Module, rows: Questions, optimizer: torch.optim.Optimizer | None) -> float:
    loss = rows.loss(rows.ask(network.train()))
    if optimizer is not None and loss.requires_grad:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def _overfitted(network: nn.Module, rows: Questions, rate: float) -> tuple[float, float, int]:
    """First and lowest loss, and the steps taken; dropout, which is there against just this, is off."""
    for module in network.modules():
        if isinstance(module, _DROPOUTS):
            module.p = 0.0
    if not _trained(network):
        raise TrainingError(required=_LEARNT, found="no parameter that is trained", remedy="give the module some")
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.0)
    first = lowest = _step(network, rows, optimizer)
    for step in range(1, _STEPS):
        lowest = min(lowest, _step(network, rows, optimizer))
        if lowest < first / 2:
            return first, lowest, step
    return first, lowest, _STEPS
