"""Rows that do not fit into memory give the very bits that rows in memory give, and are trained on under a limit."""

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_platform.errors import TrainingError
from mlops_platform.manifest import digest_file
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.training.job import Device, Job
from mlops_platform_tests.training.tiny import CATEGORIES, NUMERIC, Shop, network, rows

_ROOT = Path(__file__).parents[2]
_ODD = rows(300, seed=1).with_columns(
    pl.when(pl.int_range(pl.len()) % 7 == 0)
    .then(float("inf"))
    .otherwise(pl.col("shelves__size"))
    .alias("shelves__size")
)


def _job(folder: Path, train: pl.DataFrame, validation: pl.DataFrame) -> Job:
    output = folder / "output"
    output.mkdir(parents=True)
    # Small row groups, so that one part ends within another.
    train.write_parquet(folder / "train.parquet", row_group_size=70)
    validation.write_parquet(folder / "validation.parquet", row_group_size=70)
    return Job(
        train=folder / "train.parquet", validation=folder / "validation.parquet", output=output, numeric=NUMERIC,
        categories=CATEGORIES, network=network(), device=Device(threads=1),
    )  # fmt: skip


def test_mapped_rows_are_those_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from mlops_platform.training.program import mapped
    from mlops_platform.training.program.inputs import read_splits
    from mlops_platform.training.program.network import Normaliser

    monkeypatch.setattr(mapped, "_CHUNK_BYTES", 3000)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    job = _job(tmp_path, _ODD, rows(90, seed=2))
    kept, *near = read_splits(job)
    encoding, *far = read_splits(job, memory=0)
    assert encoding == kept
    for one, other in zip(near, far, strict=True):
        assert one.path is None and other.path is not None
        assert all(
            torch.equal(a.nan_to_num(7), b.nan_to_num(7)) for a, b in zip(one.tensors, other.tensors, strict=True)
        )
        learnt, again = Normaliser.of(one.finite()), Normaliser.of(other.finite())
        assert torch.equal(learnt.mean, again.mean) and torch.equal(learnt.scale, again.scale)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["output", "train.parquet", "validation.parquet"]


@pytest.mark.parametrize(("sharing", "mapped"), [(1, False), (100, True)])
def test_what_is_free_is_shared_by_the_processes_of_a_machine(tmp_path: Path, sharing: int, mapped: bool) -> None:
    from mlops_platform.training.program.inputs import read_splits

    _, train, _ = read_splits(_job(tmp_path, _ODD, _ODD), memory=100_000, sharing=sharing)
    assert (train.path is not None) == mapped


def test_a_disk_without_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_platform.training.program.inputs import read_splits

    def full(handle: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(TrainingError, match="TMPDIR"):
        read_splits(_job(tmp_path, _ODD, _ODD), memory=0)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 5000), st.sampled_from([128, 1000, 1 << 20]), st.integers(0, 9))
def test_a_deviation_by_parts_is_numpys(count: int, part: int, seed: int) -> None:
    from mlops_platform.training.program import network

    values = np.random.default_rng(seed).normal(3, 2, count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "_PART", part)
        assert network.standard_deviation(values, float(values.mean())) == float(values.std())


@pytest.mark.long
def test_a_dataset_larger_than_memory_trains_and_decides_no_bits(
    tiny_shop: Shop, checkpoint: Artifact, tmp_path: Path
) -> None:
    many, wide, allowed = 1_700_000, 30, 192
    chance = np.random.default_rng(0).standard_normal(many, dtype=np.float32)
    numbers = {f"n{shift}": np.roll(chance, shift) for shift in range(wide)}
    frame = pl.DataFrame(numbers).with_columns(label=pl.Series(chance > 0).cast(pl.Int8))
    assert many * 4 * (wide + 1) > allowed * 2**20
    large = _job(tmp_path / "large", frame.head(500), frame.tail(500))
    frame.write_parquet(large.train, compression="uncompressed")
    # The comparison on the holdout must not need more memory than the training did.
    large = replace(large, numeric=tuple(numbers), categories=(), network=network(epochs=1, batch_size=8192),
                    holdout=large.train)  # fmt: skip
    small = replace(
        large, train=tiny_shop.dataset.file("train.parquet"), validation=tiny_shop.dataset.file("validation.parquet"),
        holdout=tiny_shop.dataset.file("holdout.parquet"), numeric=NUMERIC, categories=CATEGORIES,
        network=tiny_shop.project.models[0].network, output=tmp_path / "small",
    )  # fmt: skip
    small.output.mkdir()
    jobs = [str(job.write(job.output.with_suffix(".json"))) for job in (small, large)]
    done = subprocess.run(
        [sys.executable, "-m", "mlops_platform_tests.training.bounded", *jobs, str(allowed)],
        capture_output=True, text=True, cwd=_ROOT, env={**os.environ, "POLARS_MAX_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    written = {path.name: digest_file(path) for path in small.output.iterdir()}
    assert written == dict(checkpoint.manifest.files)
    assert set(written) == {path.name for path in large.output.iterdir()}
