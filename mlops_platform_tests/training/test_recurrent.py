"""Truncated backpropagation through time: its gradients, its memory, its resets, and what it exports."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from mlops_platform.errors import TrainingError
from mlops_platform.scoring import PROGRAM, SCORING, Encoding, Scorer
from mlops_platform.spec import Network
from mlops_platform_tests.training.queues import hours, job, network

if TYPE_CHECKING:
    import torch

    from mlops_platform.training.program.network import ScoringProgram
    from mlops_platform.training.program.recurrent import RecurrentLearner
    from mlops_platform.training.program.sequences import SequenceRows, Windows

# Lightning asks torch about a class that torch is about to retire; the training program silences it likewise.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")


def _rows(lengths: list[int], seed: int = 0) -> "SequenceRows":
    """Sequences of chance, a third of whose labels are unknown."""
    import torch

    from mlops_platform.training.program.sequences import SequenceRows

    chance, count = torch.Generator().manual_seed(seed), sum(lengths)
    label = torch.randint(0, 2, (count,), generator=chance).float()
    label[torch.rand(count, generator=chance) < 0.3] = float("nan")
    ends = torch.tensor(lengths).cumsum(0)
    return SequenceRows(torch.randn(count, 1, generator=chance), torch.randint(0, 3, (count, 1), generator=chance),
                        label, starts=ends - torch.tensor(lengths), lengths=torch.tensor(lengths))  # fmt: skip


def _program(seed: int = 1, **parameters: float) -> "ScoringProgram":
    import torch

    from mlops_platform.training.program.network import Normaliser, ScoringProgram
    from mlops_platform_tests.training.recurrences import Gated

    torch.manual_seed(seed)
    normaliser = Normaliser(torch.zeros(1), torch.ones(1))
    return ScoringProgram(normaliser, Gated(numeric=2, cardinalities=(3,), **parameters))  # type: ignore[arg-type]


def _fit(program: "ScoringProgram", windows: "Windows", validation: "SequenceRows", net: Network,
         **options: object) -> "RecurrentLearner":  # fmt: skip
    import pytorch_lightning as lightning

    from mlops_platform.training.program.recurrent import RecurrentLearner
    from mlops_platform.training.program.sequences import Windows

    learner = RecurrentLearner(program, net, net.epochs * len(windows), lambda epoch: None)
    trainer = lightning.Trainer(max_epochs=net.epochs, accelerator="cpu", num_sanity_val_steps=0, logger=False,
                                enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
                                **options)  # type: ignore[arg-type]  # fmt: skip
    trainer.fit(learner, windows, Windows(validation, window=64, parallel=None, seed=None))
    return learner


def _gradients(lengths: list[int], *, window: int | None, parallel: int | None) -> list[dict[str, "torch.Tensor"]]:
    """Of each window of one epoch, before they are clipped, at weights that hardly move."""
    import pytorch_lightning as lightning

    from mlops_platform.training.program.sequences import Windows

    found: list[dict[str, torch.Tensor]] = []

    class Listening(lightning.Callback):
        def on_after_backward(self, trainer: object, module: "RecurrentLearner") -> None:
            named = module.program.network.named_parameters()
            found.append({name: weight.grad.clone() for name, weight in named if weight.grad is not None})

    rows = _rows(lengths)
    net = replace(network(window=window, parallel=parallel), epochs=1, learning_rate=1e-12)
    _fit(_program(), Windows(rows, window=window, parallel=parallel, seed=0), _rows([9, 4], 7), net,
         callbacks=[Listening()])  # fmt: skip
    return found


def _alone(program: "ScoringProgram", rows: "SequenceRows", sequence: int) -> "torch.Tensor":
    """Logits of one whole sequence, by itself, through the network as anyone would call it."""
    import torch

    own = slice(int(rows.starts[sequence]), int(rows.starts[sequence] + rows.lengths[sequence]))
    numeric = program.normaliser(rows.numeric[own]).unsqueeze(0)
    logits, _ = program.network(numeric, rows.categories[own].unsqueeze(0), torch.zeros(1, 8))
    return logits[0]


def test_a_window_of_the_whole_sequence_gives_the_gradients_of_full_backpropagation() -> None:
    import torch
    from torch.nn import functional

    (found,) = _gradients([50, 31, 12], window=None, parallel=None)
    program, rows = _program(), _rows([50, 31, 12])
    logits = torch.cat([_alone(program, rows, sequence) for sequence in range(3)])
    known = ~rows.label.isnan()
    functional.binary_cross_entropy_with_logits(logits[known], rows.label[known]).backward()
    for name, weight in program.network.named_parameters():
        assert weight.grad is not None
        torch.testing.assert_close(found[name], weight.grad, rtol=1e-4, atol=1e-7)


def test_a_short_window_gives_the_gradients_of_its_own_steps_from_the_carried_state() -> None:
    import torch
    from torch.nn import functional

    found = _gradients([24], window=8, parallel=None)
    program, rows = _program(), _rows([24])
    state = torch.zeros(1, 8)
    assert len(found) == 3
    for window, gradients in enumerate(found):
        own = slice(8 * window, 8 * window + 8)
        numeric = program.normaliser(rows.numeric[own]).unsqueeze(0)
        logits, state = program.network(numeric, rows.categories[own].unsqueeze(0), state.detach())
        known = ~rows.label[own].isnan()
        program.zero_grad()
        functional.binary_cross_entropy_with_logits(logits[0][known], rows.label[own][known]).backward()
        for name, weight in program.network.named_parameters():
            torch.testing.assert_close(gradients[name], weight.grad, rtol=1e-4, atol=1e-7)


@contextmanager
def _saved_bytes() -> Iterator[Callable[[], int]]:
    """The most bytes that autograd held at once of what forward passes save for backward passes."""
    import gc
    import weakref

    import torch

    held = {"now": 0, "most": 0}

    class Saved:
        def __init__(self, tensor: "torch.Tensor") -> None:
            self.tensor = tensor
            size = tensor.numel() * tensor.element_size()
            held["now"] += size
            held["most"] = max(held["most"], held["now"])
            weakref.finalize(self, lambda: held.__setitem__("now", held["now"] - size))

    with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
        gc.collect()
        yield lambda: held["most"]


def _memory(length: int, window: int | None) -> int:
    from mlops_platform.training.program.sequences import Windows

    rows, net = _rows([length, length]), replace(network(window=window), epochs=1)
    with _saved_bytes() as most:
        _fit(_program(), Windows(rows, window=window, parallel=None, seed=0), _rows([9, 4], 7), net)
        return most()


def test_memory_is_that_of_a_window_however_long_the_sequence_is() -> None:
    short, longer, longest = (_memory(length, window=16) for length in (64, 256, 1024))
    # Some windows have a few more known labels than others.
    assert 0 < max(short, longer, longest) <= 1.01 * min(short, longer, longest)
    assert _memory(1024, window=None) > 32 * longest


@pytest.mark.parametrize("parallel", [1, 2, None])
def test_sequences_side_by_side_answer_as_each_does_alone_and_begin_in_the_initial_state(parallel: int | None) -> None:
    import torch

    from mlops_platform.training.program.recurrent import RecurrentLearner
    from mlops_platform.training.program.sequences import Windows

    program, rows = _program().eval(), _rows([20, 33, 33, 5])
    learner = RecurrentLearner(program, network(), 1, lambda epoch: None).eval()
    with torch.no_grad():
        for place, window in enumerate(Windows(rows, window=7, parallel=parallel, seed=None)):
            learner.validation_step(window, place)
        found = torch.cat([logits for logits, _ in learner._answers])
        alone = torch.cat([_alone(program, rows, sequence) for sequence in range(4)])
    torch.testing.assert_close(found.sort().values, alone[~rows.label.isnan()].sort().values, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a whole training left."""
    from mlops_platform.training.program.fit import train

    folder = tmp_path_factory.mktemp("queues")
    training, _ = train(job(folder, network()), lambda epoch: None)
    assert training.train_rows == 240 and training.validation_rows == 120
    assert training.validation_loss < training.constant_loss
    return folder


def _scorer(folder: Path) -> Scorer:
    encoding = Encoding.from_json(json.loads((folder / "output" / SCORING).read_bytes()))
    return Scorer(encoding, (folder / "output" / PROGRAM).read_bytes())


def test_the_scorer_takes_step_by_step_what_torch_takes_at_once(trained: Path) -> None:
    import torch
    from safetensors.torch import load_file

    from mlops_platform.training.program.network import Normaliser, ScoringProgram
    from mlops_platform.training.program.stepping import OneStep
    from mlops_platform_tests.training.recurrences import Gated

    scorer = _scorer(trained)
    program = ScoringProgram(Normaliser(torch.zeros(1), torch.ones(1)), Gated(numeric=2, cardinalities=(3,)))
    program.load_state_dict(load_file(trained / "output" / "weights.safetensors"))
    lengths = {"b": 300, "a": 300, "new": 300}
    frame = hours(0, lengths, 11).with_columns(weather=pl.col("weather").replace("wet", "never seen"))
    ordered = frame.sort("till", "event_timestamp")
    numeric, categories = (torch.from_numpy(part).unflatten(0, (3, 300)) for part in scorer.encode(ordered))
    with torch.inference_mode():
        expected = ordered.with_columns(score=OneStep(program.eval()).whole(numeric, categories).flatten().numpy())
    found = frame.with_columns(score=scorer.score(frame)).sort("till", "event_timestamp")
    assert np.abs(found["score"].to_numpy() - expected["score"].to_numpy()).max() <= 1e-5


def test_history_moves_the_state_and_is_not_answered(trained: Path) -> None:
    scorer, lengths = _scorer(trained), {"a": 60, "b": 60}
    frame = hours(0, lengths, 12)
    scores = pl.Series(scorer.score(frame))
    late = pl.col("event_timestamp") >= frame["event_timestamp"].sort()[-40]
    mask = frame.select(late).to_series()
    rest = frame.filter(~mask).drop("label")
    assert scorer.score(frame.filter(mask), rest).tolist() == scores.filter(mask).to_list()
    # Of history the rows that are answered, and those that come later, count for nothing.
    both = pl.concat([frame.drop("label").with_columns(came=pl.when(mask).then(99.0).otherwise("came")),
                      hours(60, lengths, 13).drop("label")])  # fmt: skip
    assert scorer.score(frame.filter(mask), both).tolist() == scores.filter(mask).to_list()
    assert scorer.score(frame.filter(mask)).tolist() != scores.filter(mask).to_list()
    assert scorer.score(frame.clear(), rest).shape == (0,)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Stateless", "without a|with a method initial_state"),
        ("Forgetful", "Tensor"),
        ("Mixing", "depend on neither|a row"),
    ],
)
def test_a_network_that_is_none_of_sequences_is_refused(name: str, said: str, tmp_path: Path) -> None:
    from mlops_platform.training.program.fit import train

    with pytest.raises(TrainingError, match=said):
        train(job(tmp_path, network(name)), lambda epoch: None)
    assert not list((tmp_path / "output").iterdir())
