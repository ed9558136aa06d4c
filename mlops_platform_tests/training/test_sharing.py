"""Two processes learn what one process learns, however they share the network."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_platform.errors import TrainingError
from mlops_platform.manifest import digest_file
from mlops_platform.spec import Saving
from mlops_platform.training.attempts import notes, saved
from mlops_platform.training.job import Device, Job
from mlops_platform.training.record import Epoch, read_curves
from mlops_platform_tests.training.tiny import CATEGORIES, NUMERIC, network, rows

_ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-6
"""Of a loss. Float32 sums of a batch's gradients, taken in two parts, differ by about 1e-7 of their size, and three
epochs of few steps carry that on; they came to 2e-8."""


def together(*jobs: Job, processes: int = 2) -> None:
    """Does jobs in so many processes."""
    files = [str(job.write(job.output.with_suffix(".json"))) for job in jobs]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    usual = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [*torchrun, "-m", "mlops_platform_tests.training.together", *files], cwd=_ROOT, env=usual,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def job_in(folder: Path, name: str, **device: object) -> Job:
    """A job on odd numbers of rows, which two processes cannot share evenly."""
    for split, count in (("train", 301), ("validation", 101)):
        if not (folder / f"{split}.parquet").exists():
            rows(count, seed=count).write_parquet(folder / f"{split}.parquet")
    output = folder / name
    output.mkdir()
    return Job(
        train=folder / "train.parquet", validation=folder / "validation.parquet", output=output, numeric=NUMERIC,
        categories=CATEGORIES, network=network("Even"), device=replace(Device(threads=1), **device),
    )  # fmt: skip


def curves(job: Job) -> tuple[Epoch, ...]:
    """What a job left."""
    return read_curves((job.output / "curves.json").read_bytes())


def digests(job: Job) -> dict[str, str]:
    """Of a job's files."""
    return {path.name: digest_file(path) for path in job.output.iterdir()}


@pytest.fixture
def as_before() -> Iterator[None]:
    """A training in this process leaves torch as it was."""
    import torch

    threads = torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


@pytest.mark.long
def test_two_processes_give_the_loss_curve_of_one(tmp_path: Path, as_before: None) -> None:
    from mlops_platform.training.program.fit import train

    alone = job_in(tmp_path, "alone")
    train(alone, lambda epoch: None)
    copied, sharded = (job_in(tmp_path, way, devices=2, strategy=way) for way in ("ddp", "fsdp2"))
    pieces = [replace(job_in(tmp_path, f"{way}-pieces", devices=2, strategy=way), pieces=3) for way in ("ddp", "fsdp2")]
    together(copied, sharded, *pieces)
    for mine, theirs in (pair for job in (copied, *pieces) for pair in zip(curves(job), curves(alone), strict=True)):
        assert mine.train_loss == pytest.approx(theirs.train_loss, abs=TOLERANCE)
        assert mine.validation_loss == pytest.approx(theirs.validation_loss, abs=TOLERANCE)
        assert mine.validation_auc == pytest.approx(theirs.validation_auc, abs=1e-3)
    # Sharded weights, consolidated, are those of whole copies, to the byte.
    assert digests(sharded) == digests(copied)


@pytest.mark.soak
@pytest.mark.parametrize("way", ["ddp", "fsdp2"])
def test_two_processes_go_on_from_their_first_save_to_the_same_bytes(tmp_path: Path, way: str, as_before: None) -> None:
    from mlops_platform.training.program.fit import train

    saves = {"saves": tmp_path / "saves", "saving": Saving(keep=9), "identity": "two"}
    whole, again, alone = (replace(job_in(tmp_path, name, devices=2, strategy=way), **saves) for name in "abc")
    together(whole)
    first, *later = reversed(saved(tmp_path / "saves"))
    assert first.startswith("step-000000001-")
    for name in later:
        shutil.rmtree(tmp_path / "saves" / name)
    shutil.copytree(tmp_path / "saves", tmp_path / "copy")
    together(again)
    assert notes(tmp_path / "saves")[-1].begun == 1
    assert digests(again) == digests(whole)
    said: list[str] = []
    train(replace(alone, device=Device(threads=1), saves=tmp_path / "copy"), lambda epoch: None, said.append)
    assert "1 processes go on with what 2 saved" in said[1]
    for mine, theirs in zip(curves(alone), curves(whole), strict=True):
        assert mine.validation_loss == pytest.approx(theirs.validation_loss, abs=TOLERANCE)


def test_a_network_that_normalises_by_the_batch_is_refused() -> None:
    from mlops_platform.training.program.rank import Rank
    from mlops_platform.training.program.strategy import require_shareable
    from mlops_platform_tests.training.networks import Even, Tiny

    tiny = Tiny(numeric=4, cardinalities=(3,))
    require_shareable(tiny, Rank(), "networks:Tiny")
    require_shareable(Even(numeric=4, cardinalities=(3,)), Rank(1, 2), "networks:Even")
    with pytest.raises(TrainingError, match=r"layers\.1 in networks:Tiny"):
        require_shareable(tiny, Rank(1, 2), "networks:Tiny")


def test_as_many_processes_as_devices_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_platform.training.program.rank import Rank
    from mlops_platform.training.program.strategy import launched

    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert launched(Device()) == Rank()
    with pytest.raises(TrainingError, match="WORLD_SIZE is 1"):
        launched(Device(devices=2))
    for name, value in (("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "1"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert launched(Device(devices=2, nodes=2)) == Rank(3, 4, 1, 2)


def test_a_compilation_without_a_compiler_is_refused() -> None:
    from torch import nn

    from mlops_platform.training.program.strategy import compile_network

    with pytest.raises(TrainingError, match="no g\\+\\+ on the PATH"):
        compile_network(nn.Linear(1, 1), {"PATH": "/nowhere"})


def test_what_is_sharded_apart_is_called_apart() -> None:
    import torch
    from torch import nn

    from mlops_platform.training.program.strategy import sharded_modules
    from mlops_platform_tests.training.networks import Even

    even = Even(numeric=4, cardinalities=(3, 5))
    assert sharded_modules(even) == [*even.embeddings, even.first, even.rest, even.last]

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into, self.out, self.own = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
            self.out.weight = self.into.weight
            self.silent = nn.SiLU()

        def forward(self, numeric: torch.Tensor) -> torch.Tensor:
            return self.own(self.out(self.into(numeric)))

    tied = Tied()
    assert sharded_modules(tied) == [tied.own]
