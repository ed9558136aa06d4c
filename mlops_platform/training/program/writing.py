"""The thread that writes a save while the training goes on."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from mlops_platform.errors import TrainingError


class Writing:
    """The one save that is being written, by a thread."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="saves")
        self._written: Future[float] | None = None
        self._whole: list[float] = []

    @property
    def busy(self) -> bool:
        """Whether one is."""
        return self._written is not None and not self._written.done()

    @property
    def mean_seconds(self) -> float:
        """How long one took."""
        return sum(self._whole) / len(self._whole) if self._whole else 0.0

    def start(self, *work: Callable[[], object]) -> None:
        """Does it in a thread; the one before must be over."""
        self._written = self._thread.submit(_timed, work)

    def join(self) -> None:
        """Waits until none is.

        Raises:
            TrainingError: None could ever be written.
        """
        written, self._written = self._written, None
        if written is None:
            return
        try:
            self._whole.append(written.result())
        except (OSError, RuntimeError) as error:
            if not self._whole:
                raise TrainingError(
                    required="a folder that takes the training's saves", found=f"{error}",
                    remedy="make room on its disk, or let this account write there",
                ) from error  # fmt: skip
            self._say(f"a save could not be written and is left out: {error}")


def _timed(work: tuple[Callable[[], object], ...]) -> float:
    begun = time.perf_counter()
    for each in work:
        each()
    return time.perf_counter() - begun
