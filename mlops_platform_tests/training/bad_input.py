"""Jobs for the training program, done in this process: the usual one, and what becomes of it with other rows."""

from pathlib import Path
from typing import Any

import polars as pl

from mlops_platform.spec import Network
from mlops_platform.training.job import Device, Job
from mlops_platform_tests.training.tiny import CATEGORIES, NUMERIC, network, rows

USUAL, VALIDATION = rows(80, seed=1), rows(40, seed=2)


def usual(
    folder: Path, train: pl.DataFrame = USUAL, validation: pl.DataFrame = VALIDATION, net: Network | None = None,
    **job: Any,
) -> Job:  # fmt: skip
    """A job of few rows and two epochs, its files in a new folder."""
    (folder / "output").mkdir(parents=True)
    train.write_parquet(folder / "train.parquet")
    validation.write_parquet(folder / "validation.parquet")
    return Job(
        train=folder / "train.parquet", validation=folder / "validation.parquet", output=folder / "output",
        numeric=NUMERIC, categories=CATEGORIES, network=net or network(epochs=2), device=Device(threads=1), **job,
    )  # fmt: skip


def trained(job: Job) -> Path:
    """Where the checkpoint's files lie; torch and every source of chance are left as they were."""
    import random
    import warnings

    import numpy as np
    import torch

    from mlops_platform.training.program.fit import train

    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    kept = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            train(job, lambda epoch: None)
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)
        random.setstate(kept[0])
        np.random.set_state(kept[1])
    return job.output
