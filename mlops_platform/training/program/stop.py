"""How this process is asked to stop: while it trains it finishes the step and saves; otherwise it goes at once."""

import signal
import threading
from types import FrameType

from mlops_platform.errors import RESUME_ME


class StoppedError(Exception):
    """The training was saved because its process was asked to stop.

    Attributes:
        step: At which it was saved.
    """

    def __init__(self, step: int) -> None:
        self.step = step
        super().__init__(f"asked to stop; saved at step {step}")


class Stop:
    """The flag that SIGTERM and SIGINT raise.

    Attributes:
        asked: Whether one came while the training could wait for the end of a step.
        gentle: Whether it can.
        resumable: Whether the training can go on in another process.
    """

    def __init__(self) -> None:
        self.asked = False
        self.gentle = False
        self.resumable = False

    def listen(self) -> None:
        """Takes the two signals over; only the main thread of a process can."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._hear)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if self.gentle:
            self.asked = True
            return
        raise SystemExit(RESUME_ME if self.resumable else 128 + number)


STOP = Stop()
