"""Keeping the terminal to ourselves while others work: their output goes to a file."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from mlops_platform.cli.context import console


@contextlib.contextmanager
def own_terminal(log: Path) -> Iterator[Console]:
    """Sends whatever this process and its children print to a file; only the console given reaches the terminal.

    Descriptors are redirected, not ``sys.stdout`` alone: child programs and Dagster's log capture write to those.

    Args:
        log: The file, made with its folder.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = (os.dup(1), os.dup(2))
    try:
        with _duplicate(saved[0]) as shown, log.open("a", buffering=1, encoding="utf-8", errors="replace") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                yield shown
    finally:
        for number, handle in enumerate(saved, start=1):
            os.dup2(handle, number)
            os.close(handle)


@contextlib.contextmanager
def _duplicate(handle: int) -> Iterator[Console]:
    """A console on the descriptor saved; where standard output is no file (a test's buffer), on that."""
    try:
        sys.stdout.fileno()
    except (io.UnsupportedOperation, AttributeError):
        yield console()
        return
    with os.fdopen(os.dup(handle), "w", encoding=sys.stdout.encoding, errors="replace", buffering=1) as stream:
        yield console(stream)
