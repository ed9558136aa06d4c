"""Worker processes of one service: started, watched, started again where they die, and ended together.

They are forked from a parent that has imported the web stack and started no thread: a worker then needs the model and
little else before it answers (measured in docs/guides/serving.md). What starts threads when it is imported, as
polars does, is imported by the workers.
"""

import json
import logging
import os
import selectors
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mlops_platform.errors import PlatformError
from mlops_platform.serving.http.sharing import Seat, seats

_LOG = logging.getLogger(__name__)
_POLL = 0.1
_FIRST_WAIT, _LONGEST_WAIT, _STEADY = 0.5, 30.0, 60.0
_SILENT = 60.0
_HOPELESS = 5
_EXTRA = 5.0
FAILED = 3
"""Exit code of a worker that told its error."""

Tell = Callable[[dict[str, Any]], None]


@dataclass
class Worker:
    """One worker process.

    Attributes:
        pid: Its process.
        pipe: Where its messages are read.
        seat: Its place among the others.
        started, heard: On the monotonic clock.
        ready: Whether it listens.
        told: Its newest message.
        rest: The beginning of a message.
    """

    pid: int
    pipe: int
    seat: Seat
    started: float
    heard: float
    ready: bool = False
    told: dict[str, Any] = field(default_factory=dict)
    rest: bytes = b""


class Supervisor:
    """Keeps so many workers at work until a signal ends them all."""

    def __init__(self, work: Callable[[Tell, Seat], None], workers: int,
                 tell: Callable[[str, dict[str, Any]], None], stop_seconds: float) -> None:  # fmt: skip
        """Makes a supervisor; ``run`` starts it.

        Args:
            work: What a worker does, given a function whose messages reach this process, the first when it listens,
                and its place among the workers.
            workers: How many.
            tell: Told what happens: ``beat`` with a message, ``died`` with ``pid``, ``why`` and ``wait``, ``failed``
                with an error's three texts.
            stop_seconds: How long a worker may take to end.
        """
        self._work, self._count, self._tell, self._stop_seconds = work, workers, tell, stop_seconds
        self._workers: dict[int, Worker] = {}
        self._seats = seats(workers)
        self._due: list[float] = []
        self._deaths, self._any_ready = 0, False
        self._signals: list[int] = []
        self._life = os.pipe()
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Works until a signal comes.

        Returns:
            0 where every worker ended well after a signal; 1 where one did not, or where none ever came to listen.
        """
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {number: signal.signal(number, lambda number, _: self._signals.append(number)) for number in numbers}
        try:
            self._due = [time.monotonic()] * self._count
            while not self._signals:
                self._start_due()
                self._listen()
                self._end_silent()
                for worker, status in self._ended():
                    self._died(worker, status)
                if self._deaths >= _HOPELESS and not self._any_ready:
                    self._stop()
                    return 1
            return self._stop()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            for handle in self._life:
                os.close(handle)

    def _start_due(self) -> None:
        now = time.monotonic()
        for due in [due for due in self._due if due <= now]:
            self._due.remove(due)
            self._start()

    def _start(self) -> None:
        read, write = os.pipe()
        seat = self._seats.pop()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os.close(read)
            os.close(self._life[1])
            for worker in self._workers.values():
                os.close(worker.pipe)
            _be_worker(lambda tell: self._work(tell, seat), write, self._life[0], self._stop_seconds)
        os.close(write)
        now = time.monotonic()
        self._workers[pid] = Worker(pid, read, seat, now, now)
        self._selector.register(read, selectors.EVENT_READ, pid)

    def _listen(self) -> None:
        for key, _ in self._selector.select(_POLL):
            worker = self._workers[key.data]
            piece = os.read(worker.pipe, 65_536)
            if not piece:
                # It has closed its end: it is ending, and is waited for.
                self._selector.unregister(worker.pipe)
                time.sleep(_POLL)
                continue
            *lines, worker.rest = (worker.rest + piece).split(b"\n")
            for line in lines:
                self._hear(worker, json.loads(line))

    def _hear(self, worker: Worker, told: dict[str, Any]) -> None:
        worker.heard = time.monotonic()
        if "error" in told:
            worker.told = told
            self._tell("failed", {"pid": worker.pid, **told["error"]})
            return
        worker.ready = self._any_ready = True
        worker.told = told
        self._tell("beat", {"pid": worker.pid, "ready": sum(each.ready for each in self._workers.values()), **told})

    def _end_silent(self) -> None:
        now = time.monotonic()
        for worker in self._workers.values():
            if worker.ready and now - worker.heard > _SILENT:
                worker.ready = False
                worker.told = {"silent": True}
                os.kill(worker.pid, signal.SIGKILL)

    def _ended(self) -> list[tuple[Worker, int]]:
        found = []
        for pid in list(self._workers):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                found.append((self._forget(pid), os.waitstatus_to_exitcode(status)))
        return found

    def _forget(self, pid: int) -> Worker:
        worker = self._workers.pop(pid)
        if worker.pipe in self._selector.get_map():
            self._selector.unregister(worker.pipe)
        os.close(worker.pipe)
        worker.seat.leave()
        self._seats.append(worker.seat)
        return worker

    def _died(self, worker: Worker, code: int) -> None:
        """Plans another, the later the more died in a row."""
        now = time.monotonic()
        self._deaths = 1 if now - worker.started > _STEADY else self._deaths + 1
        wait = min(_FIRST_WAIT * 2 ** (self._deaths - 1), _LONGEST_WAIT)
        self._due.append(now + wait)
        silent = f"did not answer for {_SILENT:g} seconds"
        why = (
            silent
            if "silent" in worker.told
            else f"signal {signal.Signals(-code).name}"
            if code < 0
            else f"exit code {code}"
        )
        self._tell("died", {"pid": worker.pid, "why": why, "wait": wait})

    def _stop(self) -> int:
        """Asks every worker to end, and makes those that do not, or all of them at a second signal."""
        for pid in self._workers:
            os.kill(pid, signal.SIGTERM)
        heard, deadline, codes = len(self._signals), time.monotonic() + self._stop_seconds + _EXTRA, []
        while self._workers:
            codes += [code for _, code in self._ended()]
            if time.monotonic() > deadline or len(self._signals) > heard:
                for pid in self._workers:
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        return int(any(codes))


def _be_worker(work: Callable[[Tell], None], pipe: int, life: int, stop_seconds: float) -> None:
    """Works, and leaves the process; nothing of the parent's is run at its end."""
    os.set_blocking(pipe, False)
    threading.Thread(target=_end_with_parent, args=(life, stop_seconds), daemon=True).start()

    def tell(message: dict[str, Any]) -> None:
        try:
            os.write(pipe, json.dumps(message).encode() + b"\n")
        except (BlockingIOError, BrokenPipeError):
            # The parent is stopped or gone: nobody is there to be told.
            _LOG.warning("the supervisor does not listen")

    code = 1
    try:
        work(tell)
        code = 0
    except PlatformError as error:
        tell({"error": {"required": error.required, "found": error.found, "remedy": error.remedy}})
        code = FAILED
    finally:
        if sys.exc_info()[1] is not None:
            # No request is at work here: the error's words are the worker's own.
            _LOG.error("a worker failed: %s", sys.exc_info()[1], exc_info=True)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _end_with_parent(life: int, stop_seconds: float) -> None:
    """Ends this process when the parent has gone, however it went: its end of the pipe closes with it."""
    os.read(life, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(stop_seconds + _EXTRA)
    os._exit(1)
