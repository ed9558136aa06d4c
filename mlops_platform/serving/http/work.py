"""Where a request's work is done: in the event loop where it is small, in a few threads where it is not."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mlops_platform.serving.http.limits import Load, busy
from mlops_platform.serving.http.settings import Settings

_Made = TypeVar("_Made")


class Work:
    """One worker's threads.

    A hop to a thread and back costs more than a small prediction; a large one in the loop would keep all others
    waiting.
    """

    def __init__(self, settings: Settings, load: Load) -> None:
        self._settings, self._load = settings, load
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="predict")
        self._free = asyncio.Semaphore(settings.threads)

    async def do(self, work: Callable[[], _Made], size: int, *, apart: bool = False) -> _Made:
        """Does work whose body has this many bytes.

        Args:
            work: What to do.
            size: Of the body.
            apart: Never in the loop, as what waits for a disk.

        Raises:
            Refused: 429, where no thread came free in time.
        """
        if size <= self._settings.inline and not apart:
            return work()
        self._load.waiting += 1
        try:
            async with asyncio.timeout(self._settings.wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise busy(f"no thread free in {self._settings.wait_seconds:g} seconds") from None
        finally:
            self._load.waiting -= 1
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._threads, contextvars.copy_context().run, work)
        # Even where the request is given up: the thread is free when its work has ended.
        done.add_done_callback(lambda _: self._free.release())
        return await asyncio.shield(done)

    def close(self) -> None:
        """Waits for what is at work."""
        self._threads.shutdown()
