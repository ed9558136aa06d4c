"""The folder by which a training on a cluster is heard, on a filesystem that the cluster's machines see, too.

Its messages, what its processes print and how they ended come back in files (``training/program/group.py``), so that
nothing is lost while the cluster's own interface does not answer.
"""

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from mlops_platform.resources.launchers import Launch
from mlops_platform.resources.launchers.outcome import Ended, require_finished
from mlops_platform.resources.launchers.watch import Watch, Watched
from mlops_platform.resources.messages import WholeLines

_BEAT_SECONDS = 2.0
_LOOK_SECONDS = 0.3
_LOGS = "rank-*.log"


class Shared:
    """The folder of one launch; while it is open, the training there knows that somebody waits, and its logs are shown.

    Attributes:
        folder: Beside the job's file.
        reader: Of the program's messages.
    """

    def __init__(self, launch: Launch, name: str) -> None:
        """Takes what is launched, and a name that no other launch has."""
        self.folder = launch.job.parent / name
        self._lines = WholeLines(self.folder)
        self._watch = Watch(launch.silence_seconds, launch.stall_seconds)
        self.reader = Watched(self._lines, self._watch)
        self._several = launch.nodes * launch.devices > 1
        self._begun = False
        self._beats = 0
        self._shown: dict[Path, int] = {}
        self._closed = threading.Event()
        self._threads = [
            threading.Thread(target=self._every, args=(seconds, work), daemon=True)
            for seconds, work in ((_BEAT_SECONDS, self._beat), (_LOOK_SECONDS, self._show))
        ]

    def __enter__(self) -> "Shared":
        self.folder.mkdir()
        self._beat()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        for thread in self._threads:
            thread.join()
        self._show()

    @property
    def messages(self) -> tuple[Mapping[str, Any], ...]:
        """The program's messages so far, in order."""
        return self._lines.custom

    def require_life(self) -> None:
        """Returns while no process of the training has begun yet, and while it reports and gets on.

        Raises:
            KilledError: It does not, so that it has to be ended.
        """
        if self._begun:
            self._watch.require_life()
        elif any(self.folder.glob(_LOGS)):
            self._begun = True
            self._watch.hear({})

    def require_finished(self, else_raise: Callable[[], None]) -> tuple[Mapping[str, Any], ...]:
        """The program's messages, if it left a whole checkpoint.

        Args:
            else_raise: Raises what is known of an end of which the folder tells nothing.

        Raises:
            SavedError, TrainingError, KilledError: See ``outcome.require_finished``.
        """
        path = self.folder / "ended.json"
        if not path.is_file():
            else_raise()
        ended = tuple(Ended(**each) for each in json.loads(path.read_bytes()))
        require_finished(1 if ended else 0, self.messages, ended)
        return self.messages

    def _every(self, seconds: float, work: Callable[[], None]) -> None:
        told = ""
        while not self._closed.wait(seconds):
            try:
                work()
            except OSError as error:
                # A filesystem that is away for a moment. Where it stays away, the training there ends itself.
                if str(error) != told:
                    told = str(error)
                    print(told, flush=True)

    def _beat(self) -> None:
        self._beats += 1
        (self.folder / "alive").write_text(str(self._beats), encoding="ascii")

    def _show(self) -> None:
        """Prints whole lines that came since; of several processes, each line says whose it is."""
        for path in sorted(self.folder.glob(_LOGS)):
            # Opened anew each time, which a network filesystem wants before it shows what others wrote.
            with path.open("rb") as file:
                file.seek(self._shown.get(path, 0))
                lines, newline, _ = file.read().rpartition(b"\n")
            self._shown[path] = self._shown.get(path, 0) + len(lines) + len(newline)
            for line in lines.decode(errors="replace").splitlines():
                print(f"[{path.stem}] {line}" if self._several else line, flush=True)
