"""Datasets as odd as they come: refused with what is wrong of them, or learnt from and scored as documented."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlops_platform.errors import CorruptArtifactError, TrainingError
from mlops_platform.scoring import PROGRAM, SCORING, Encoding, Scorer
from mlops_platform.training.record import CURVES, TRAINING, Training, read_curves
from mlops_platform_tests.training.bad_input import USUAL, VALIDATION, trained, usual
from mlops_platform_tests.training.tiny import network

ONE_ROW = USUAL.head(1)
ONE_CLASS = pl.lit(0, dtype=pl.Int8).alias("label")


@pytest.mark.parametrize(
    ("train", "validation", "said"),
    [
        (USUAL.clear(), VALIDATION, r"label 1 in the train split(.|\n)*no rows"),
        (USUAL, VALIDATION.clear(), r"label 1 in the validation split(.|\n)*no rows"),
        (USUAL.with_columns(ONE_CLASS), VALIDATION, r"train split(.|\n)*80 rows of label 0"),
        (USUAL, VALIDATION.with_columns(ONE_CLASS), r"validation split(.|\n)*40 rows of label 0"),
        (ONE_ROW, VALIDATION, r"train split(.|\n)*1 rows of label"),
        (USUAL.drop("label"), VALIDATION, "column label in the train split"),
        (USUAL, VALIDATION.drop("label"), "column label in the validation split"),
        (USUAL.with_columns(label=pl.lit(2, dtype=pl.Int8)), VALIDATION, "80 rows of label 2"),
    ],
)
def test_rows_of_which_nothing_can_be_learnt_stop_the_training(
    tmp_path: Path, train: pl.DataFrame, validation: pl.DataFrame, said: str
) -> None:
    job = usual(tmp_path, train, validation)
    with pytest.raises(TrainingError, match=said):
        trained(job)
    assert list(job.output.iterdir()) == []


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b""], ids=["half", "empty"])
def test_a_truncated_file_is_named(tmp_path: Path, split: str, damage: Callable[[bytes], bytes]) -> None:
    job = usual(tmp_path)
    path = tmp_path / f"{split}.parquet"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CorruptArtifactError, match=rf"{split}\.parquet") as refused:
        trained(job)
    assert "the next run" in refused.value.remedy and list(job.output.iterdir()) == []


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    job = usual(tmp_path)
    (tmp_path / "train.parquet").unlink()
    with pytest.raises(CorruptArtifactError, match=r"train\.parquet"):
        trained(job)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint learnt from two rows a class in one batch, with columns of one value, of none, and of infinities."""
    inf = float("inf")
    odd_rows = pl.concat([USUAL.filter(pl.col("label") == label).head(2) for label in (0, 1)]).with_columns(
        shelves__size=pl.Series([inf, -inf, 1.0, 2.0]), shelves__level=pl.lit(7, dtype=pl.Int32),
        shelves__flat=pl.lit(None, dtype=pl.Float32), colour=pl.lit(None, dtype=pl.String),
        shelf=pl.lit(3, dtype=pl.Int64),
    )  # fmt: skip
    net = network(epochs=2, batch_size=4096)
    return trained(usual(tmp_path_factory.mktemp("odd"), odd_rows, odd_rows, net))


def test_odd_columns_and_a_batch_larger_than_the_dataset_are_learnt_from(odd: Path) -> None:
    training = Training.from_json((odd / TRAINING).read_bytes())
    assert (training.train_rows, training.steps) == (4, 2)
    assert all(np.isfinite([e.train_loss, e.validation_loss]).all() for e in read_curves((odd / CURVES).read_bytes()))


@pytest.mark.parametrize(
    "change",
    [
        {"colour": pl.lit("never seen"), "shelf": pl.lit(99, dtype=pl.Int64)},
        {"colour": pl.lit(None, dtype=pl.Null), "shelf": pl.lit(None, dtype=pl.Null)},
        {
            "shelves__size": pl.lit(float("inf")),
            "shelves__level": pl.lit(float("-inf")),
            "shelves__flat": pl.lit(1e300),
        },
        {"shelves__size": pl.lit(None, dtype=pl.Float64), "shelves__level": pl.lit(float("nan"))},
    ],
    ids=["unknown categories", "null categories", "infinities", "missing numbers"],
)
def test_odd_rows_get_scores(odd: Path, change: dict[str, pl.Expr]) -> None:
    encoding = Encoding.from_json(json.loads((odd / SCORING).read_bytes()))
    scorer = Scorer(encoding, (odd / PROGRAM).read_bytes())
    scores = scorer.score(VALIDATION.with_columns(**change))
    assert np.isfinite(scores).all() and ((scores >= 0) & (scores <= 1)).all()


def test_a_category_never_seen_scores_as_a_missing_one(odd: Path) -> None:
    encoding = Encoding.from_json(json.loads((odd / SCORING).read_bytes()))
    scorer = Scorer(encoding, (odd / PROGRAM).read_bytes())
    new, missing = (VALIDATION.with_columns(shelf=pl.lit(v, dtype=pl.Int64)) for v in (99, None))
    assert np.array_equal(scorer.score(new), scorer.score(missing))


def test_a_loss_that_is_no_number_stops_the_training_and_names_the_epoch(tmp_path: Path) -> None:
    net = replace(network("Late", epochs=5, batch_size=40), parameters={"after": 5})
    job = usual(tmp_path, net=net)
    with pytest.raises(TrainingError, match=r"a finite training loss(.|\n)*nan in epoch 3, step 6") as stopped:
        trained(job)
    assert stopped.value.check == "loss_is_finite"
    assert list(job.output.iterdir()) == []


def test_the_save_from_before_is_named(tmp_path: Path) -> None:
    job = replace(usual(tmp_path / "job"), saves=tmp_path / "saves")
    from mlops_platform.training.program.finite import naming_the_save

    for name in ("step-000000004-epoch-00002", "step-000000002-epoch-00001"):
        (tmp_path / "saves" / name).mkdir(parents=True)
    said = "step 6; save step-000000004-epoch-00002 from before is kept"
    with pytest.raises(TrainingError, match=said) as stopped, naming_the_save(job):
        raise TrainingError(required="a number", found="nan in step 6", remedy="lower it", check="loss_is_finite")
    assert stopped.value.check == "loss_is_finite"


@pytest.mark.parametrize("wrong", ["loss", "weights"])
def test_what_is_no_number_is_not_saved(wrong: str) -> None:
    import pytorch_lightning as lightning
    import torch

    from mlops_platform.training.program.finite import FiniteSaves
    from mlops_platform.training.program.learner import Learner
    from mlops_platform.training.program.network import Normaliser, ScoringProgram
    from mlops_platform_tests.training.networks import Tiny

    program = ScoringProgram(Normaliser(torch.zeros(2), torch.ones(2)), Tiny(numeric=4, cardinalities=(3,)))
    trainer = lightning.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False,
                                enable_model_summary=False, accelerator="cpu")  # fmt: skip
    learner = Learner(program, network(), 1, lambda epoch: None)
    learner.trainer = trainer
    trainer.strategy._lightning_module = learner
    FiniteSaves().on_save_checkpoint(trainer, learner, {})
    if wrong == "loss":
        learner._loss.fill_(float("nan"))
    else:
        next(learner.parameters()).data.fill_(float("inf"))
    with pytest.raises(TrainingError, match="in epoch 1, step 0"):
        FiniteSaves().on_save_checkpoint(trainer, learner, {})
