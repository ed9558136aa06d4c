"""How much of an accelerator's matrix products the training program gets out of it, with a transformer that fills it.

Claim: on a GPU, in bf16, our trainer's model arithmetic reaches 0.4 of the matrix-product ceiling. On a CPU, where the
network is tiny, nothing is claimed: the program only shows that it runs.
Peer: the ceiling is square matrix products of the same precision on the same device in the same run, the best of a few
sizes; beside it, a bare PyTorch loop over one batch that already lies on the device.
Measured: model FLOPs are those of a forward and a backward of one batch as torch counts them (nothing recomputed
counts), times steps a second. Ours is the training program's own function, from Parquet files to a checkpoint; an epoch
is what passes between two of its reports, the first is left out. The bare loop is timed after a few steps.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.tables import table
from mlops_platform.spec import Network
from mlops_platform.training.job import Device, Job

if TYPE_CHECKING:
    import torch

LEAST = 0.4
_NUMBERS, _CODES = 56, (50, 500)
_WARM, _TIMED = 3, 10


@dataclass(frozen=True)
class Size:
    """What is trained, and what the ceiling is taken of.

    Attributes:
        width, layers, heads: Of the transformer.
        batch_size, batches: Of an epoch.
        products: Sizes of the square matrices.
        precision: Lightning's name.
        dtype: Of the products, by torch's name.
    """

    width: int
    layers: int
    heads: int
    batch_size: int
    batches: int
    products: tuple[int, ...]
    precision: str
    dtype: str


SIZES = {
    "cuda": Size(1024, 12, 16, 256, 40, (4096, 8192), "bf16-mixed", "bfloat16"),
    "cpu": Size(32, 1, 2, 64, 6, (512, 1024), "32-true", "float32"),
}


def write(folder: Path, size: Size, kind: Any, threads: int) -> Job:
    """A job on rows of chance, whose files are in a folder."""
    import numpy as np
    import polars as pl

    chance, rows = np.random.default_rng(0), size.batch_size * size.batches
    numbers = {f"n{place}": chance.standard_normal(rows, dtype=np.float32) for place in range(_NUMBERS // 2)}
    codes = {f"c{place}": chance.integers(0, count, rows) for place, count in enumerate(_CODES)}
    frame = pl.DataFrame({**numbers, **codes, "label": (numbers["n0"] > 0).astype(np.int8)})
    for split, part in (("train", frame), ("validation", frame.head(size.batch_size))):
        part.write_parquet(folder / f"{split}.parquet")
    (folder / "output").mkdir()
    parameters = {"width": size.width, "layers": size.layers, "heads": size.heads}
    network = Network(module="benchmarks.transformer:ColumnTransformer", parameters=parameters, epochs=3,
                      batch_size=size.batch_size, learning_rate=1e-4)  # fmt: skip
    return Job(train=folder / "train.parquet", validation=folder / "validation.parquet", output=folder / "output",
               numeric=tuple(numbers), categories=tuple(codes), network=network,
               device=Device(accelerator=kind, precision=size.precision, threads=threads))  # fmt: skip


def ours(job: Job, size: Size) -> float:
    """Steps a second of the training program, in the fastest epoch after the first."""
    from mlops_platform.training.program.fit import train

    marks: list[float] = []
    train(job, lambda epoch: marks.append(time.perf_counter()))
    return size.batches / min(later - earlier for earlier, later in pairwise(marks))


def bare(program: Any, batch: "tuple[torch.Tensor, ...]", size: Size) -> float:
    """Steps a second of a loop over one batch that lies on the device."""
    import torch

    optimizer = torch.optim.AdamW(program.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(batch[0].device.type, torch.bfloat16, enabled="bf16" in size.precision):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(program.logits(*batch[:2]), batch[2])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(program.parameters(), 1.0)
        optimizer.step()

    return 1 / _seconds(step)


def flops(program: Any, batch: "tuple[torch.Tensor, ...]") -> int:
    """Of a forward and a backward of a batch."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        torch.nn.functional.binary_cross_entropy_with_logits(program.logits(*batch[:2]), batch[2]).backward()
    program.zero_grad()
    return int(counter.get_total_flops())


def ceiling(kind: str, size: Size) -> float:
    """FLOPs a second of the best square matrix product."""
    import torch

    best = 0.0
    for edge in size.products:
        left, right = (torch.randn(edge, edge, dtype=getattr(torch, size.dtype), device=kind) for _ in range(2))
        best = max(best, 2 * edge**3 / _seconds(lambda left=left, right=right: left @ right))
    return best


def _seconds(step: Callable[[], object]) -> float:
    """Of one of several steps."""
    import torch

    def done() -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    for _ in range(_WARM):
        step()
    done()
    begun = time.perf_counter()
    for _ in range(_TIMED):
        step()
    done()
    return (time.perf_counter() - begun) / _TIMED


def main() -> int:
    """Exit code 1 if the claim does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.utilisation", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--accelerator", choices=tuple(SIZES), help="default: cuda where torch sees one")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()

    from mlops_platform.training.program import fit, inputs  # before torch: it says how OpenMP's threads wait

    import torch  # isort: skip

    kind = asked.accelerator or ("cuda" if torch.cuda.is_available() else "cpu")
    size = SIZES[kind]
    with tempfile.TemporaryDirectory(prefix="mlops-benchmark-") as folder:
        job = write(Path(folder), size, kind, asked.threads)
        steps = ours(job, size)
        encoding, rows, _ = inputs.read_splits(job)
        program = fit._begin(job, encoding, rows)[0].to(kind)
        batch = tuple(tensor[: size.batch_size].to(kind) for tensor in rows.tensors)
        cost, weights = flops(program, batch), sum(weight.numel() for weight in program.parameters())
        highest = ceiling(kind, size)
        speeds = {"our trainer": steps, "a bare loop on one batch": bare(program, batch, size)}
    name = torch.cuda.get_device_name() if kind == "cuda" else f"a CPU, {asked.threads} thread(s)"
    print(f"On {name}: {weights:,} weights, {size.precision}, batches of {size.batch_size}, "
          f"{cost / 1e9:,.2f} GFLOP a step.\n")  # fmt: skip
    lines = [
        (who, f"{speed:.2f}", f"{speed * cost / 1e12:.4g}", f"{speed * cost / highest:.2f}")
        for who, speed in speeds.items()
    ]
    lines.append((f"matrix products, {size.dtype}", "", f"{highest / 1e12:.4g}", "1.00"))
    print(table(("", "steps/s", "TFLOP/s", "of the ceiling"), lines))
    if kind == "cpu":
        print("\nno claim is judged on a CPU")
        return 0
    held = steps * cost / highest >= LEAST
    print(f"\nclaim (at least {LEAST} of the ceiling): {'held' if held else 'MISSED'}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
