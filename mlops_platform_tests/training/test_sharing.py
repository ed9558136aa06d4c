"""Two processes learn what one process learns, however they share the network."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_platform.errors import TrainingError
from mlops_platform.manifest import digest_file
from mlops_platform.resources.launchers import PROGRAM
from mlops_platform.training.job import Device, Job
from mlops_platform.training.record import Epoch, read_curves
from mlops_platform_tests.training.tiny import CATEGORIES, NUMERIC, network, rows

_ROOT = Path(__file__).parents[2]
_CUT = 7
"""Step of the second epoch, which has five."""
TOLERANCE = 1e-6
"""Of a loss. Float32 sums of a batch's gradients, taken in two parts, differ by about 1e-7 of their size, and three
epochs of few steps carry that on; they came to 2e-8."""


def together(*asked: tuple[Job, int], processes: int = 2) -> None:
    """Does jobs in so many processes, each to its end, or until it is stopped at a step that is not 0."""
    files = [f"{job.write(job.output.with_suffix('.json'))}@{step}" for job, step in asked]
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


def saved_in(job: Job) -> set[str]:
    """Names of the files of a job's newest save."""
    assert job.saves is not None
    return {path.name for path in max(job.saves.glob("step-*")).iterdir()}


@pytest.fixture
def as_before() -> Iterator[None]:
    """A training in this process leaves torch and the signals' handlers as they were."""
    import torch

    threads = torch.get_num_threads()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.long
def test_two_processes_give_the_loss_curve_of_one_and_go_on_from_each_others_saves(
    tmp_path: Path, as_before: None
) -> None:
    from mlops_platform_tests.training.together import do

    def job(name: str, **device: object) -> Job:
        return replace(job_in(tmp_path, name, **device), saves=tmp_path / f"{name}-saves", identity="sha256:0")

    alone, widened, narrowed = job("alone"), job("widened"), job("narrowed", devices=2, strategy="fsdp2")
    do(alone)
    do(widened, _CUT)
    widened = replace(widened, device=narrowed.device)
    copied, copied_cut = (job(name, devices=2) for name in ("copied", "copied-cut"))
    sharded, sharded_cut = (job(name, devices=2, strategy="fsdp2") for name in ("sharded", "sharded-cut"))
    pieces = [replace(job(f"{way}-pieces", devices=2, strategy=way), pieces=3) for way in ("ddp", "fsdp2")]
    together((copied, 0), (copied_cut, _CUT), (copied_cut, 0), (sharded, 0), (sharded_cut, _CUT), (sharded_cut, 0),
             (widened, 0), (narrowed, _CUT), *((job, 0) for job in pieces))  # fmt: skip
    assert saved_in(narrowed) == {"save.json", "state.pt", "rank-0.pt", "rank-1.pt", "shard-0.pt", "shard-1.pt"}
    said = do(replace(narrowed, device=alone.device))
    assert any("1 processes go on with what 2 saved" in line for line in said)
    for other in (copied, widened, narrowed, *pieces):
        for mine, theirs in zip(curves(other), curves(alone), strict=True):
            assert mine.train_loss == pytest.approx(theirs.train_loss, abs=TOLERANCE)
            assert mine.validation_loss == pytest.approx(theirs.validation_loss, abs=TOLERANCE)
            assert mine.validation_auc == pytest.approx(theirs.validation_auc, abs=1e-3)
    # Resumed by as many, and sharded or not: the same weights, curves and program, to the byte.
    assert digests(copied_cut) == digests(sharded) == digests(sharded_cut) == digests(copied)


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


@pytest.mark.soak
def test_a_compiled_network_learns_the_same(tmp_path: Path) -> None:
    usual, compiled = job_in(tmp_path, "usual"), job_in(tmp_path, "compiled", compile=True)
    for job in (usual, compiled):
        told = job.write(job.output.with_suffix(".json"))
        subprocess.run([sys.executable, "-m", PROGRAM, "--job", str(told)], cwd=_ROOT, check=True)
    for mine, theirs in zip(curves(compiled), curves(usual), strict=True):
        assert mine.validation_loss == pytest.approx(theirs.validation_loss, abs=1e-4)
    assert set(digests(compiled)) == set(digests(usual))


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


@pytest.mark.parametrize(("other", "agreed"), [(-1, True), (7, False)])
def test_processes_that_would_go_on_from_different_saves_do_not_train(other: int, agreed: bool) -> None:
    import torch

    from mlops_platform.training.program.saver import Saver

    def reduce(ends: torch.Tensor, reduce_op: str) -> torch.Tensor:
        assert reduce_op == "max"
        return torch.maximum(ends, torch.tensor([[other] * 3, [-other] * 3]))

    saver = Saver.__new__(Saver)
    saver._rank, saver.resumed = 1, None
    strategy = SimpleNamespace(root_device="cpu", reduce=reduce)
    asked: Any = SimpleNamespace(world_size=2, strategy=strategy)
    with contextlib.nullcontext() if agreed else pytest.raises(TrainingError, match=r"between -1 and 7 \(-1 is afresh"):
        saver.setup(asked, asked, "fit")


@pytest.mark.parametrize("damage", ["none", "a byte", "gone"])
def test_a_save_with_a_damaged_shard_is_refused_whole(tmp_path: Path, damage: str) -> None:
    import torch

    from mlops_platform.training.program.saves import STATE, Save, Saves, written
    from mlops_platform.training.program.shards import Handing, file_of

    said: list[str] = []
    saves = Saves(tmp_path, "sha256:0", keep=2, say=said.append)
    parts: list[dict[str, object]] = [
        {"state_dict": {"w": {"part": torch.tensor([[1.0, 2.0]])}, "b": torch.ones(2)}},
        {"state_dict": {"w": {"part": torch.tensor([[3.0, 4.0], [5.0, 6.0]])}, "b": torch.ones(2)}},
    ]
    way = Handing(tmp_path, token=1, ranks=2)
    for rank, part in reversed(list(enumerate(parts))):
        way.give(rank, lambda path, part=part: written(path, part))
    save = Save(identity="sha256:0", step=1, steps=2, epoch=0, delivered=1, processes=2, attempt=1, seconds={})
    path = saves.write(save, {STATE: {"epoch": 0}}, way.take)
    if damage == "a byte":
        data = bytearray((path / file_of(1)).read_bytes())
        data[len(data) // 2] ^= 1
        (path / file_of(1)).write_bytes(data)
    elif damage == "gone":
        (path / file_of(1)).unlink()
    found = saves.newest(0)
    assert (found is None) == (damage != "none")
    if found is None:
        assert "shard-1.pt of digest" in said[0]
    else:
        assert found[1]["epoch"] == 0
        assert found[1]["state_dict"]["w"].tolist() == [[1, 2], [3, 4], [5, 6]]
        assert found[1]["state_dict"]["b"].tolist() == [1, 1]
    assert not list(tmp_path.glob(".writing*"))
