"""The thread that writes a save while the training goes on."""

import threading
import time
from collections.abc import Callable

from mlops_platform.errors import TrainingError


class Writing:
    """The one save that is being written, by a thread."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._thread: threading.Thread | None = None
        self._error: OSError | RuntimeError | None = None
        self._whole: list[float] = []

    @property
    def busy(self) -> bool:
        """Whether one is."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def mean_seconds(self) -> float:
        """How long one took."""
        return sum(self._whole) / len(self._whole) if self._whole else 0.0

    def start(self, *work: Callable[[], object]) -> None:
        """Does it in a thread; the one before must be over."""
        self._thread = threading.Thread(target=self._work, args=work, name="saves")
        self._thread.start()

    def join(self) -> None:
        """Waits until none is.

        Raises:
            TrainingError: None could ever be written.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is None:
            return
        if not self._whole:
            raise TrainingError(required="a folder that takes the training's saves", found=f"{error}",
                                remedy="make room on its disk, or let this account write there") from error  # fmt: skip
        self._say(f"a save could not be written and is left out: {error}")

    def _work(self, *work: Callable[[], object]) -> None:
        begun = time.perf_counter()
        try:
            for each in work:
                each()
        except (OSError, RuntimeError) as error:
            self._error = error
            return
        self._whole.append(time.perf_counter() - begun)
