"""A forecast is trained on what is known of its labels, and its scorer answers in their unit."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlops_platform.errors import TrainingError
from mlops_platform.scoring import PROGRAM, SCORING, Encoding, Scorer
from mlops_platform.spec import Forecast, Network
from mlops_platform.training.job import Job
from mlops_platform.training.record import CURVES, Epoch, Training, read_curves
from mlops_platform_tests.training.tiny import NETWORKS

TASK = Forecast(horizon=2, step="1h", unit="degrees", persistence=("now",), season=("place",))


def rows(count: int, seed: int, *, known: float = 0.8) -> pl.DataFrame:
    """The next two values of something that is now so warm, in one of two places; some are never known."""
    chance = np.random.default_rng(seed)
    now, place = chance.normal(300.0, 20.0, count), chance.choice(["north", "south"], count)
    ahead = np.stack([now + 5, 0.5 * now - 40 * (place == "north")], axis=1) + chance.normal(0, 1, (count, 2))
    told = [[float(v) if k else None for v, k in zip(*row, strict=True)]
            for row in zip(ahead, chance.random((count, 2)) < known, strict=True)]  # fmt: skip
    label = pl.Series(told, dtype=pl.Array(pl.Float32, 2))
    return pl.DataFrame({"now": now, "place": place, "label": label})


def job(folder: Path, train: pl.DataFrame, validation: pl.DataFrame) -> Job:
    """A job on these rows."""
    network = Network(module=f"{NETWORKS}:Steps", epochs=8, batch_size=32, learning_rate=0.1)
    (folder / "output").mkdir(parents=True)
    train.write_parquet(folder / "train.parquet")
    validation.write_parquet(folder / "validation.parquet")
    return Job(train=folder / "train.parquet", validation=folder / "validation.parquet", output=folder / "output",
               numeric=("now",), categories=("place",), network=network, task=TASK)  # fmt: skip


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained checkpoint's files."""
    from mlops_platform.training.program.fit import train

    asked = job(tmp_path_factory.mktemp("forecast"), rows(300, 0), rows(100, 1))
    heard: list[Epoch] = []
    train(Job.read(asked.write(asked.output.parent / "job.json")), heard.append)
    assert [epoch.figure[0] for epoch in heard] == ["MAE"] * 8
    return asked.output


def test_its_scorer_answers_every_step_in_the_labels_unit(output: Path) -> None:
    encoding = Encoding.from_json(json.loads((output / SCORING).read_bytes()))
    scorer, fresh = Scorer(encoding, (output / PROGRAM).read_bytes()), rows(200, 2, known=1.0)
    scores = scorer.score(fresh)
    assert scores.dtype == np.float32
    assert np.abs(scores - fresh["label"].to_numpy()).mean() < 3
    assert scorer.score(fresh.clear()).shape == (0, 2)
    assert encoding.network["parameters"] == {"horizon": 2}


def test_its_record_tells_the_error_and_beats_the_median(output: Path) -> None:
    training = Training.from_json((output / "training.json").read_bytes())
    (epoch,) = (e for e in read_curves((output / CURVES).read_bytes()) if e.epoch == training.best_epoch)
    assert training.validation_auc is None
    assert training.validation_mae == epoch.validation_mae
    assert training.validation_mae is not None
    assert training.validation_mae < 3
    assert training.validation_loss < 0.3 * training.constant_loss
    assert training.export_max_difference <= 1e-5
    assert "validation_auc" not in json.loads((output / "training.json").read_bytes())


def test_the_loss_of_all_is_the_mean_of_its_parts_and_unknown_labels_pull_at_nothing() -> None:
    import torch

    from mlops_platform.training.program.network import ForecastProgram, Normaliser
    from mlops_platform.training.program.objective import objective_of

    normaliser = Normaliser(torch.zeros(1), torch.ones(1))
    program = ForecastProgram(normaliser, torch.nn.Identity(), torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0]))
    objective = objective_of(program)
    label = torch.tensor([[3.0, float("nan")], [1.0, 10.0], [float("nan"), float("nan")], [5.0, 2.0]])
    answers = torch.zeros(4, 2, requires_grad=True)
    whole = objective.loss(answers, label)
    whole.backward()
    assert float(whole.detach()) == pytest.approx((1 + 0 + 2 + 2 + 0) / 8)
    assert answers.grad is not None
    assert answers.grad[torch.isnan(label)].tolist() == [0, 0, 0]
    parts = [objective.loss(answers.detach()[part], label[part]) for part in (slice(0, 2), slice(2, 4))]
    assert float(sum(parts) / 2) == pytest.approx(float(whole.detach()))
    windows = objective.loss(answers.detach().reshape(2, 2, 2), label.reshape(2, 2, 2))
    assert float(windows) == pytest.approx(float(whole.detach()))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (pl.col("label").cast(pl.List(pl.Float32)), "List"),
        (pl.when(pl.col("now") > 300).then("label"), "rows without"),
        (pl.lit([1.0, None], dtype=pl.Array(pl.Float32, 2)), "nothing known of step 2"),
        (pl.lit([1.0, float("inf")], dtype=pl.Array(pl.Float32, 2)), "infinite numbers"),
    ],
)
def test_labels_of_which_nothing_can_be_learnt_are_refused(tmp_path: Path, change: pl.Expr, found: str) -> None:
    from mlops_platform.training.program.inputs import read_splits

    asked = job(tmp_path, rows(50, 0).with_columns(change.alias("label")), rows(50, 1))
    with pytest.raises(TrainingError, match=found):
        read_splits(asked)


def test_a_network_of_another_horizon_is_told() -> None:
    import torch

    from mlops_platform.training.program.learner import Learner
    from mlops_platform.training.program.network import ForecastProgram, Normaliser
    from mlops_platform_tests.training.networks import Steps

    network = Steps(numeric=4, cardinalities=(), horizon=3)
    program = ForecastProgram(Normaliser(torch.zeros(2), torch.ones(2)), network, torch.zeros(2), torch.ones(2))
    learner = Learner(program, Network(module=f"{NETWORKS}:Steps"), 1, lambda epoch: None)
    with pytest.raises(TrainingError, match="horizon"):
        learner.training_step((torch.zeros(5, 2), torch.zeros(5, 0, dtype=torch.int64), torch.zeros(5, 2)), 0)
