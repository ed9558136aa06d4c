"""The pulse: by which whoever waits for this process knows that it lives, and where it is."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

EVERY = "MLOPS_HEARTBEAT_SECONDS"
_LINE_SECONDS, _MOST_LINE_SECONDS = 10.0, 60.0


class Progress(NamedTuple):
    """A place in a training, and its pace.

    Attributes:
        epoch, step: Numbers from 1.
        epochs, steps: How many there are; steps of one epoch.
        done: Steps of the training that this process has done.
        rows: How many they held, over all processes.
        seconds: How long they took.
        loss: Of the last one, a scalar tensor or None; read only when a line is said, since that waits for the device.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    done: int
    rows: int
    seconds: float
    loss: Any

    @property
    def place(self) -> str:
        """Where it is: ``epoch 2 of 8, step 120 of 460``."""
        return f"epoch {self.epoch} of {self.epochs}, step {self.step:,} of {self.steps:,}"

    def line(self) -> str:
        """What a person wants to know in between."""
        pace = self.rows / self.seconds if self.seconds else 0.0
        loss = f", loss {float(self.loss):.5f}" if self.loss is not None else ""
        left = ((self.epochs - self.epoch) * self.steps + self.steps - self.step) * self.seconds / self.done
        return f"{self.place}: {pace:,.0f} rows/s{loss}, {_time(left)} left"


class Pulse:
    """Where a training is, told every few seconds by a thread of its own.

    The thread goes on while a step hangs; so each beat also says for how long nothing has moved.
    """

    def __init__(self) -> None:
        self._moved = self._begun = time.monotonic()
        self._phase = "its start"
        self._now: Progress | None = None

    def phase(self, name: str) -> None:
        """Notes that something else than steps begins, such as ``the export``."""
        self._moved, self._phase, self._now = time.monotonic(), name, None

    def step(self, progress: Progress) -> None:
        """Notes that a step is done."""
        self._moved, self._now = time.monotonic(), progress

    @property
    def reached(self) -> str:
        """Where it is, in words."""
        # Read once: the other thread may begin a phase in between.
        now = self._now
        return now.place if now is not None else self._phase

    @contextmanager
    def beating(self, send: Callable[[dict[str, Any]], None], say: Callable[[str], None]) -> Iterator[None]:
        """Sends beats, and says a line of progress now and then, until the block ends.

        Args:
            send: Takes a message.
            say: Takes a line for people.
        """
        ended = threading.Event()
        thread = threading.Thread(target=self._beat, args=(send, say, ended), daemon=True, name="pulse")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _beat(self, send: Callable[[dict[str, Any]], None], say: Callable[[str], None], ended: threading.Event) -> None:
        every = float(os.environ.get(EVERY, "5"))
        self._moved = self._begun = told = time.monotonic()
        while True:
            now, progress = time.monotonic(), self._now
            send({"event": "heartbeat", "reached": self.reached, "still_seconds": round(now - self._moved, 3)})
            # A week of lines every ten seconds would be sixty thousand.
            due = min(max(_LINE_SECONDS, (now - self._begun) / 100), _MOST_LINE_SECONDS)
            if progress is not None and now - told >= due:
                say(progress.line())
                told = now
            if ended.wait(every):
                return


def _time(seconds: float) -> str:
    """``40 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


PULSE = Pulse()
