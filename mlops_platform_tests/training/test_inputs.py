"""Rows from which nothing can be learnt are refused with the reason; odd but usable columns are not."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from mlops_platform.errors import PlatformError, TrainingError
from mlops_platform.scoring import InputError
from mlops_platform.training.job import Job, Start
from mlops_platform_tests.training.tiny import CATEGORIES, NUMERIC, network, rows

USUAL = rows(40, seed=1)


def _job(folder: Path, train: pl.DataFrame, validation: pl.DataFrame = USUAL) -> Job:
    train.write_parquet(folder / "train.parquet")
    validation.write_parquet(folder / "validation.parquet")
    return Job(
        train=folder / "train.parquet", validation=folder / "validation.parquet", output=folder, numeric=NUMERIC,
        categories=CATEGORIES, network=network(),
    )  # fmt: skip


def test_a_job_is_read_as_it_was_written(tmp_path: Path) -> None:
    job = _job(tmp_path, USUAL)
    assert Job.read(job.write(tmp_path / "job.json")) == job
    warm = replace(job, start=Start(folder=tmp_path, digest="sha256:0"))
    assert Job.read(warm.write(tmp_path / "job.json")) == warm


@pytest.mark.parametrize(
    ("train", "error", "said"),
    [
        (USUAL.clear(), TrainingError, "no rows"),
        (USUAL.with_columns(label=pl.lit(1, dtype=pl.Int8)), TrainingError, "40 rows of label 1"),
        (USUAL.with_columns(label=pl.lit(None, dtype=pl.Int8)), TrainingError, "rows of label None"),
        (USUAL.drop("label"), TrainingError, "column label"),
        (USUAL.drop("shelves__level"), InputError, "columns shelves__level"),
        (USUAL.with_columns(shelves__size=pl.lit("large")), InputError, "numeric column shelves__size"),
        (USUAL.with_columns(colour=pl.lit(0.5)), InputError, "category colour"),
    ],
)
@pytest.mark.parametrize("memory", [None, 0])
def test_bad_training_rows_are_refused(
    tmp_path: Path, train: pl.DataFrame, error: type[PlatformError], said: str, memory: int | None
) -> None:
    from mlops_platform.training.program.inputs import read_splits

    with pytest.raises(error, match=said):
        read_splits(_job(tmp_path, train), memory=memory)


def test_an_empty_validation_split_is_refused(tmp_path: Path) -> None:
    from mlops_platform.training.program.inputs import read_splits

    with pytest.raises(TrainingError, match="validation split"):
        read_splits(_job(tmp_path, USUAL, USUAL.clear()))


def test_normalised_columns_are_bounded_and_flagged() -> None:
    import torch

    from mlops_platform.training.program.network import Normaliser

    nan, inf = float("nan"), float("inf")
    train = torch.tensor([[0.0, 0.1, nan], [2.0, 0.1, nan], [nan, 0.1, nan]])
    normalise = Normaliser.learn(train)
    got = normalise(torch.tensor([[0.0, 0.1, 5.0], [inf, 0.2, nan], [nan, -inf, 0.0]]))
    assert got[:, :3].tolist() == [[-1.0, 0.0, 5.0], [8.0, pytest.approx(0.1), 0.0], [0.0, -8.0, 0.0]]
    assert got[:, 3:].tolist() == [[0, 0, 0], [0, 0, 1], [1, 0, 0]]
