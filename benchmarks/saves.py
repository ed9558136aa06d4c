"""What saving costs a training that goes on: the time for which its steps wait.

Claim: steps wait for saves less than 0.5% of their time, and less than for the peer.
Peer: Lightning's ``ModelCheckpoint(train_time_interval=...)``, which writes the same state from within the step loop.
Measured: the flights' kind of network, made large (2.2 million weights, 26 MB with those of Adam), learnt for so many
seconds on made-up rows, three times in one process: without saves, with ours, with the peer's, the two latter at the
same interval. ``waited`` is the wall time of the hooks in which each saves; ours copies the state there, and writes,
digests, syncs and renames in a thread; it keeps all random number generators and the loader's place, which the peer's
file has not. Steps per CPU second show what the thread itself takes, where there is a core less than it would like.
Young's interval, which is the default, is computed from what a save held the steps up, for one failure a day.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from benchmarks.tables import table
from mlops_platform.spec import Network, Saving
from mlops_platform.training.job import Job

if TYPE_CHECKING:
    import pytorch_lightning as lightning

MOST = 0.005
ROWS, NUMBERS, BATCH, HIDDEN = 100_000, 32, 64, 1024
_DAY = 86_400.0


class Waited:
    """Wall time that hooks took."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def timed(self, callback: "lightning.Callback") -> "lightning.Callback":
        """Times the hook of a callback in which it saves."""
        hook: Callable[..., None] = callback.on_train_batch_end

        def on_train_batch_end(*arguments: Any, **named: Any) -> None:
            begun = time.perf_counter()
            hook(*arguments, **named)
            self.seconds.append(time.perf_counter() - begun)

        callback.on_train_batch_end = on_train_batch_end  # type: ignore[method-assign]
        return callback


def learner_and_batches() -> tuple[Any, Any]:
    """A network of three layers, and rows of chance in memory."""
    import torch
    from torch import nn

    from mlops_platform.training.program.learner import Learner
    from mlops_platform.training.program.loader import ShuffledBatches
    from mlops_platform.training.program.network import Normaliser, ScoringProgram

    class Large(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = [2 * NUMBERS, HIDDEN, HIDDEN, HIDDEN]
            layers = [[nn.Linear(a, b), nn.SiLU(), nn.Dropout(0.1)] for a, b in pairwise(sizes)]
            self.layers = nn.Sequential(*(layer for group in layers for layer in group), nn.Linear(HIDDEN, 1))

        def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
            return self.layers(numeric).squeeze(1)

    torch.manual_seed(0)
    numeric = torch.randn(ROWS, NUMBERS)
    rows = (numeric, torch.zeros(ROWS, 0, dtype=torch.int64), (numeric[:, 0] > 1).float())
    batches = ShuffledBatches(rows, batch_size=BATCH, seed=0)
    recipe = Network(module="benchmarks.saves:learner_and_batches", epochs=1000)
    program = ScoringProgram(Normaliser(torch.zeros(NUMBERS), torch.ones(NUMBERS)), Large())
    return Learner(program, recipe, 1000 * len(batches), lambda epoch: None), batches


def trained(way: str, folder: Path, seconds: float, every: int) -> dict[str, float]:
    """Learns for a while, saved in one of the ways."""
    import datetime

    import pytorch_lightning as lightning
    from pytorch_lightning.callbacks import ModelCheckpoint

    from mlops_platform.training.program.goodput import Ledger
    from mlops_platform.training.program.saver import Saver

    learner, batches = learner_and_batches()
    job = Job(train=folder, validation=folder, output=folder, numeric=(), categories=(), identity="benchmark",
              network=Network(module="benchmarks.saves:learner_and_batches"), saves=folder / "saves",
              saving=Saving(every=f"{every}s"))  # fmt: skip
    waited = Waited()
    with Ledger(job) as ledger:
        saver = Saver(job, batches, 1, ledger, print)
        peer = ModelCheckpoint(folder / "peer", train_time_interval=datetime.timedelta(seconds=every), save_top_k=1)
        callbacks = {"none": [], "ours": [waited.timed(saver)], "peer": [waited.timed(peer)]}[way]
        trainer = lightning.Trainer(
            max_time={"seconds": seconds}, max_epochs=1000, accelerator="cpu", deterministic=True, callbacks=callbacks,
            logger=False, enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
            enable_checkpointing=way == "peer", num_sanity_val_steps=0, gradient_clip_val=1.0,
        )  # fmt: skip
        learner.on_train_epoch_end = lambda: None
        begun, cpu = time.perf_counter(), time.process_time()
        with mock.patch.object(trainer, "save_checkpoint", wraps=trainer.save_checkpoint) as written:
            trainer.fit(learner, batches)
        wall, used = time.perf_counter() - begun, time.process_time() - cpu
    return {"steps": trainer.global_step, "wall": wall, "cpu": used, "waited": sum(waited.seconds),
            "saves": {"none": 0, "ours": saver.count, "peer": written.call_count}[way],
            "most": max(waited.seconds, default=0.0)}  # fmt: skip


def main() -> int:
    """Exit code 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.saves", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--seconds", type=int, default=60, help="how long each training lasts")
    parser.add_argument("--every", type=int, default=15, help="seconds between two saves")
    arguments = parser.parse_args()
    import logging
    import warnings

    import torch

    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    found = {}
    for way in ("none", "ours", "peer"):
        with tempfile.TemporaryDirectory(prefix="mlops-saves-") as folder:
            found[way] = trained(way, Path(folder), arguments.seconds, arguments.every)
    names = {"none": "no saves", "ours": "ours", "peer": "ModelCheckpoint, the peer"}
    rows = [
        (names[way], f"{f['steps']:,.0f}", f"{f['wall']:.1f}", f"{f['steps'] / f['cpu']:.2f}", f"{f['saves']:.0f}",
         f"{f['waited'] * 1000:.0f}", f"{f['most'] * 1000:.0f}", f"{f['waited'] / f['wall']:.2%}")
        for way, f in found.items()
    ]  # fmt: skip
    print(table(("a training with", "steps", "s", "steps/CPU s", "saves", "waited ms", "longest ms", "share"), rows))
    mine, theirs = (found[way]["waited"] / found[way]["wall"] for way in ("ours", "peer"))
    from mlops_platform.training.program.saver import young

    cost = found["ours"]["waited"] / max(found["ours"]["saves"], 1)
    interval = young(cost, _DAY)
    held = mine < MOST and mine < theirs
    print(
        f"claims: {'held' if held else 'MISSED'}; steps waited {mine:.2%} of their time (less than {MOST:.1%}), the "
        f"peer's {theirs:.2%}; Young's interval would be {interval:.0f} s, its share {cost / interval:.3%}"
    )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
