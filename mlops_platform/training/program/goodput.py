"""Where the wall time of a training goes: every moment of the process belongs to exactly one part."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning

from mlops_platform.training.attempts import PARTS, Attempt, notes
from mlops_platform.training.job import Job
from mlops_platform.training.program.rank import Rank
from mlops_platform.training.program.usage import Usage

_NOTE_SECONDS = 1.0
_STARTED = 19
_LOADED = time.perf_counter()


class Ledger:
    """The parts (``PARTS``) of the wall time since the process began, and the note of it that outlives the process.

    Attributes:
        step: Optimizer steps of the training that are done.
        begun, resumed, kept: What the training went on from, see ``Attempt``.
    """

    def __init__(self, job: Job) -> None:
        """Opens in ``startup``.

        Args:
            job: Whose folder of saves gets the note, from the process of rank 0.
        """
        self._saves = job.saves if Rank.here().number == 0 else None
        self._earlier = notes(self._saves)
        self._devices = job.device.devices * job.device.nodes
        self._usage = Usage(job.device)
        self._seconds = dict.fromkeys(PARTS, 0.0)
        self._part, self._since = "startup", time.perf_counter() - process_age()
        self._lock, self._writing, self._closed = threading.Lock(), threading.Lock(), threading.Event()
        self.step = self.begun = 0
        self.resumed: int | None = None
        self.kept: Mapping[str, float] = {}
        self._thread = threading.Thread(target=self._note_now_and_then, daemon=True, name="ledger")
        self._write()
        self._thread.start()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def number(self) -> int:
        """Of this attempt, from 1."""
        return self._earlier[-1].number + 1 if self._earlier else 1

    def enter(self, part: str) -> str:
        """From now on the time belongs to another part; returns which had it until now."""
        with self._lock:
            now = time.perf_counter()
            self._seconds[self._part] += now - self._since
            before, self._part, self._since = self._part, part, now
        return before

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """The time of a block belongs to a part."""
        before = self.enter(name)
        try:
            yield
        finally:
            self.enter(before)

    def seconds(self) -> dict[str, float]:
        """The parts so far, the one at work included."""
        with self._lock:
            now = time.perf_counter()
            return {**self._seconds, self._part: self._seconds[self._part] + now - self._since}

    def note(self) -> Attempt:
        """This attempt so far."""
        return Attempt(number=self.number, devices=self._devices, seconds=self.seconds(), step=self.step,
                       begun=self.begun, resumed=self.resumed, kept=self.kept, usage=self._usage.figures())  # fmt: skip

    def close(self) -> tuple[Attempt, ...]:
        """Ends the notes, at any time; returns all attempts at the training, this one last."""
        self._closed.set()
        self._thread.join()
        return (*self._earlier, self._write())

    def _note_now_and_then(self) -> None:
        while not self._closed.wait(_NOTE_SECONDS):
            self._usage.sample()
            # A disk may be full for a while: the next note has all of this one, and the last one must be written.
            with contextlib.suppress(OSError):
                self._write()

    def _write(self) -> Attempt:
        with self._writing:
            note = self.note()
            if self._saves is not None:
                note.write(self._saves)
        return note


class Watched:
    """A loader whose time is told apart: what passes between asking it for a batch and having it is ``data``."""

    def __init__(self, loader: Any, ledger: Ledger) -> None:
        self._loader = loader
        self._ledger = ledger

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self._loader)
        while True:
            self._ledger.enter("data")
            try:
                batch = next(batches)
            except StopIteration:
                return
            finally:
                self._ledger.enter("step")
            yield batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class Parts(lightning.Callback):
    """Tells a ledger what the training loop is at."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """The first step begins."""
        self._ledger.enter("step")

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A step is done."""
        self._ledger.step = trainer.global_step

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """The epoch's evaluation begins."""
        self._ledger.enter("evaluation")

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Whatever followed the last epoch is over."""
        self._ledger.enter("step")

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """The loop is over."""
        self._ledger.enter("other")


def process_age() -> float:
    """Seconds since this process began, as Linux tells them; elsewhere, those since this module was imported."""
    stat = Path("/proc/self/stat")
    if not stat.is_file():
        return time.perf_counter() - _LOADED
    fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
    began = int(fields[_STARTED]) / os.sysconf("SC_CLK_TCK")
    return max(time.clock_gettime(time.CLOCK_BOOTTIME) - began, 0.0)
