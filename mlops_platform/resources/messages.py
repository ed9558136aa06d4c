"""The door by which a program's Dagster Pipes messages are read: whole lines only.

Dagster's own reader takes what ``readline`` gives at the end of the file, which can be the first half of a line that is
still being written; under load that ended trainings that had gone well.
"""

import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster_pipes import PipesDefaultMessageWriter, PipesParams

_POLL_SECONDS = 0.02


class WholeLines(dg.PipesMessageReader):
    """Reads messages from a temporary file that the program appends to, each once its line has an end."""

    @contextmanager
    def read_messages(self, handler: dg.PipesMessageHandler) -> Iterator[PipesParams]:
        """Reads in a thread until the block ends, and then what is left.

        Args:
            handler: Takes the messages, in order.
        """
        with tempfile.TemporaryDirectory(prefix="mlops-messages-") as folder:
            path, ended = Path(folder) / "messages", threading.Event()
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
        return "No message was read from the temporary file that the program was given."

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
    half = b""
    with path.open("rb") as file:
        while True:
            # Asked before reading: what was written until then is in what is read.
            last = ended.is_set()
            *lines, half = (half + file.read()).split(b"\n")
            yield from lines
            if last:
                return
            if not lines:
                time.sleep(_POLL_SECONDS)
