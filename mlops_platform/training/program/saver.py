"""When a training is saved, and how it goes on from a save."""

import math
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as lightning
import torch

from mlops_platform.errors import TrainingError
from mlops_platform.manifest import digest_file, digest_of
from mlops_platform.spec.fields import duration
from mlops_platform.training.attempts import reached, save_name
from mlops_platform.training.job import Job
from mlops_platform.training.program.goodput import Ledger
from mlops_platform.training.program.pulse import PULSE
from mlops_platform.training.program.rank import Rank
from mlops_platform.training.program.saves import STATE, Save, Saves, written
from mlops_platform.training.program.shards import taken_apart
from mlops_platform.training.program.state import Copies, Place, Restored, chances, gathered, set_chances, taken
from mlops_platform.training.program.stop import STOP, StoppedError
from mlops_platform.training.program.writing import Writing


def young(cost: float, failures_every: float) -> float:
    """Seconds between saves at which the time lost to saving and to failures is least.

    Args:
        cost: Seconds that a save holds the training up.
        failures_every: Mean seconds between failures.
    """
    return math.sqrt(2 * cost * failures_every)


def identity(job: Job) -> str:
    """What a save must be of, for a job to go on from it."""
    if job.identity:
        # Pieces of a batch are rounded otherwise than whole ones.
        return job.identity if job.pieces == 1 else digest_of([job.identity, job.pieces])
    start = job.start.digest if job.start is not None else None
    files = {"train": job.train, "validation": job.validation, "context": job.context}
    data = {name: digest_file(path) for name, path in files.items() if path is not None}
    columns = {"numeric": job.numeric, "categories": job.categories, **job.task.recipe()}
    device = {"accelerator": job.device.accelerator, "precision": job.device.precision, "pieces": job.pieces}
    return digest_of({"network": job.network.recipe(), "start": start, **columns, **device, **data})


class Saver(lightning.Callback):
    """Saves a training now and then, when it is asked to stop, and when its last step is done.

    The training waits while its state is copied to memory of the CPU; a thread serialises, digests and writes it. One
    save is written at a time. The first is taken after the first step: it shows at once whether the folder takes it,
    and what a save costs, which Young's formula asks for.

    Attributes:
        resumed: The save that the training goes on from, if there is one.
        plugins: For Lightning's trainer.
        path: What that calls the checkpoint to resume from; None for none.
        count: How many saves were taken.
    """

    def __init__(self, job: Job, loader: Any, steps: int, ledger: Ledger, say: Callable[[str], None]) -> None:
        """Looks for a save to go on from, and puts the loader where it was then.

        Args:
            job: With a folder of saves.
            loader: Of the training batches, with ``state_dict`` and ``load_state_dict``.
            steps: Of the whole training.
            ledger: Of the wall time.
            say: Hears what is resumed and refused.

        Raises:
            TrainingError: Another process trains the same.
        """
        assert job.saves is not None
        self._rank = Rank.here().number
        self._saving, self._loader, self._steps, self._ledger, self._say = job.saving, loader, steps, ledger, say
        self._saves = Saves(job.saves, identity(job), keep=job.saving.keep, say=say)
        self._copies, self._writing = Copies(), Writing(say)
        self._chances: dict[str, torch.Tensor] | None = None
        self._costs: list[float] = []
        self._last, self._place = 0.0, (0, 0)
        self.count = 0
        self.plugins: list[Any] = []
        self.path: str | None = None
        self.resumed: Save | None = None
        if self._rank == 0:
            self._saves.hold()
        STOP.resumable = True
        self._resume()

    def _resume(self) -> None:
        found = self._saves.newest(self._rank)
        if found is None:
            return
        self.resumed, state, own = found
        self._loader.load_state_dict(state.pop("loader"))
        self.plugins, self.path = [Restored(state)], str(self._saves.folder)
        self._chances = own["chances"] if own is not None else None
        self._place = self.resumed.epoch, self.resumed.delivered
        self._ledger.begun = self._ledger.step = self.resumed.step
        self._ledger.resumed, self._ledger.kept = self.resumed.attempt, self.resumed.seconds
        if self._rank == 0:
            name = save_name(self.resumed.step, self.resumed.epoch)
            self._say(f"resumed at step {self.resumed.step} of {self._steps} from save {name} "
                      f"of attempt {self.resumed.attempt}")  # fmt: skip

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Sees that all processes go on from the same save, for each has looked for it on its own.

        Raises:
            TrainingError: They do not.
        """
        if trainer.world_size == 1:
            return
        own = (self.resumed.step, self.resumed.epoch, self.resumed.delivered) if self.resumed else (-1, -1, -1)
        ends = torch.tensor([own, [-number for number in own]], device=trainer.strategy.root_device)
        most, least = trainer.strategy.reduce(ends, reduce_op="max")
        if not torch.equal(most, -least):
            raise TrainingError(
                required="one save from which all processes go on", remedy="run it again",
                found=f"process {self._rank} at step {own[0]}, others between {-int(least[0])} and {int(most[0])} "
                "(-1 is afresh)",
            )  # fmt: skip

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Everything is restored but chance, which is last, since what came before may have asked for it."""
        if self._rank == 0 and self.resumed is not None and self.resumed.processes != trainer.world_size:
            self._say(f"{trainer.world_size} processes go on with what {self.resumed.processes} saved: the same data "
                      "in the same order, rounded in another")  # fmt: skip
        if self._chances is not None:
            set_chances(self._chances)
        # Lightning's own handlers ask other processes from within a signal; the loop asks them between two steps.
        STOP.asked, STOP.gentle = False, True
        STOP.listen()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves, if it is time to."""
        self._maybe_save(trainer, delivered=batch_idx + 1)

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Remembers chance, since a save that is taken during a validation is of the moment before it."""
        self._chances = chances()

    def on_validation_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any,
        batch_idx: int, dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Saves, if it was asked to stop; of several processes some may validate fewer batches, so none is asked."""
        if trainer.world_size == 1 and STOP.asked:
            batches = int(trainer.num_training_batches)
            if self._place != (trainer.current_epoch, batches):
                self._save(trainer, batches, self._chances)
            self._leave()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Saves, if it is time to: the validation may have been long."""
        self._maybe_save(trainer, delivered=0)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Saves what is learnt to the end, so that only the export would have to be done again."""
        if trainer.current_epoch == trainer.max_epochs:
            self._save(trainer, 0)
        STOP.gentle = False
        if STOP.asked:
            self._leave()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Lets the save that is being written be finished."""
        STOP.gentle = False
        self._writing.join()

    def finish(self) -> None:
        """Waits for the save that is being written."""
        with self._ledger.part("checkpoint"):
            self._writing.join()

    def figures(self) -> dict[str, float]:
        """How many saves were taken, how long each held the training up, and how long each was being written."""
        stall = sum(self._costs) / len(self._costs) if self._costs else 0.0
        return {"saves": self.count, "save_stall_seconds": stall, "save_write_seconds": self._writing.mean_seconds}

    def _maybe_save(self, trainer: lightning.Trainer, *, delivered: int) -> None:
        due, stop = self._agreed(trainer, due=self._due())
        if (due or stop) and self._place != (trainer.current_epoch, delivered):
            self._save(trainer, delivered)
        if stop:
            self._leave()

    def _due(self) -> bool:
        if self._writing.busy:
            return False
        return not self._costs or time.perf_counter() - self._last >= self._interval()

    def _interval(self) -> float:
        if self._saving.every is not None:
            return duration(self._saving.every).total_seconds()
        # The first copy also fetches the memory for itself and all others.
        later = self._costs[1:] or self._costs
        return young(sum(later) / len(later), duration(self._saving.failures_every).total_seconds())

    def _agreed(self, trainer: lightning.Trainer, *, due: bool) -> tuple[bool, bool]:
        """Whether it is time to save, by the clock of rank 0, and whether any process was asked to stop."""
        if trainer.world_size == 1:
            return due, STOP.asked
        own = torch.tensor(
            [due and self._rank == 0, STOP.asked], dtype=torch.int32, device=trainer.strategy.root_device
        )
        every = trainer.strategy.reduce(own, reduce_op="sum")
        return bool(every[0]), bool(every[1])

    def _save(self, trainer: lightning.Trainer, delivered: int, own: dict[str, torch.Tensor] | None = None) -> None:
        begun = time.perf_counter()
        with self._ledger.part("checkpoint"):
            self._writing.join()
            place = Place(trainer.current_epoch, delivered, trainer.global_step, self._steps)
            state = {**taken(trainer, place), "loader": self._loader_state(place, int(trainer.num_training_batches))}
            ranks = gathered(trainer, own or chances())
            apart = taken_apart(trainer, state, self._saves.folder)
            part, way = apart or (None, None)
            if self._rank == 0 or way is not None:
                kept = self._copies.take({"shared": state if self._rank == 0 else {}, "part": part})
                work: list[Callable[[], object]] = [self._copies.wait]
                if way is not None:
                    work.append(lambda: way.give(self._rank, lambda path: written(path, kept["part"])))
                if self._rank == 0:
                    save = self._described(place, trainer.world_size)
                    own_files = {f"rank-{n}.pt": {"chances": found} for n, found in enumerate(ranks)}
                    states = {STATE: kept["shared"], **own_files}
                    work.append(lambda: self._saves.write(save, states, way.take if way is not None else None))
                self._writing.start(*work)
        self._last, self._place = time.perf_counter(), (place.epoch, delivered)
        self._costs.append(self._last - begun)
        self.count += 1

    def _described(self, place: Place, processes: int) -> Save:
        return Save(identity=self._saves.identity, step=place.step, steps=place.steps, epoch=place.epoch,
                    delivered=place.delivered, processes=processes, attempt=self._ledger.number,
                    seconds=self._ledger.seconds())  # fmt: skip

    def _loader_state(self, place: Place, batches: int) -> dict[str, Any]:
        """The loader's state, which must be of the same place: else other rows would be learnt after a resume."""
        state: dict[str, Any] = self._loader.state_dict()
        ended = place.delivered == batches
        expected = (place.epoch + 1, 0) if ended else (place.epoch, place.delivered)
        if (state["epoch"], state["delivered"]) != expected:
            raise TrainingError(
                required=f"a loader at epoch and batch {expected}", found=f"{state['epoch']}, {state['delivered']}",
                remedy="let its state_dict tell what was delivered to the training, not what was read ahead",
            )  # fmt: skip
        return state

    def _leave(self) -> None:
        STOP.gentle = False
        PULSE.phase("its last save")
        self.finish()
        # Of several saves the last one may not have been written.
        raise StoppedError(reached(self._saves.folder))
