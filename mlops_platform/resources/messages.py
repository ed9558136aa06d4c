"""The door by which a program's Dagster Pipes messages are read: whole lines only.

Dagster's own reader takes what ``readline`` gives at the end of the file, which can be the first half of a line that is
still being written; under load that ended trainings that had gone well.
"""

import contextlib
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_pipes import PipesDefaultMessageWriter, PipesParams

_POLL_SECONDS = 0.02


class WholeLines(dg.PipesMessageReader):
    """Reads messages from a file that the program appends to, each once its line has an end."""

    def __init__(self, folder: Path | None = None) -> None:
        """Takes where the file is.

        Args:
            folder: One that the program's machine sees, too; None for a temporary one here.
        """
        self._folder = folder
        self._handler: dg.PipesMessageHandler | None = None

    @property
    def custom(self) -> tuple[Mapping[str, Any], ...]:
        """The custom messages so far, in order."""
        return tuple(self._handler.get_custom_messages()) if self._handler is not None else ()

    @contextmanager
    def read_messages(self, handler: dg.PipesMessageHandler) -> Iterator[PipesParams]:
        """Reads in a thread until the block ends, and then what is left.

        Args:
            handler: Takes the messages, in order.
        """
        self._handler = handler
        with contextlib.ExitStack() as held:
            folder = self._folder
            if folder is None:
                folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="mlops-messages-")))
            path, ended = folder / "messages", threading.Event()
            path.touch()
            thread = threading.Thread(target=self._read, args=(handler, path, ended), daemon=True)
            thread.start()
            try:
                yield {PipesDefaultMessageWriter.FILE_PATH_KEY: str(path)}
            finally:
                ended.set()
                thread.join()

    def no_messages_debug_text(self) -> str:
        """Where they were looked for, for Dagster's error."""
        return "No message was read from the file that the program was given."

    def _read(self, handler: dg.PipesMessageHandler, path: Path, ended: threading.Event) -> None:
        try:
            for line in whole_lines(path, ended):
                handler.handle_message(json.loads(line))
        except BaseException:
            handler.report_pipes_framework_exception(type(self).__name__, sys.exc_info())
            raise


def whole_lines(path: Path, ended: threading.Event) -> Iterator[bytes]:
    """Lines of a growing file, each once it is whole, until nothing more comes.

    A last line without an end is left out: whoever wrote it died, which its exit code tells.

    Args:
        path: Of the file.
        ended: Set when nothing more will be written.
    """
    place = 0
    while True:
        # Asked before reading: what was written until then is in what is read.
        last = ended.is_set()
        # Opened anew each time, which a network filesystem wants before it shows what others wrote.
        with path.open("rb") as file:
            file.seek(place)
            whole, end, _ = file.read().rpartition(b"\n")
        place += len(whole) + len(end)
        yield from whole.split(b"\n") if end else ()
        if last:
            return
        if not end:
            time.sleep(_POLL_SECONDS)
