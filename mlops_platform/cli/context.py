"""What every command needs: the home, the project, and a console that suits a terminal and a file alike."""

import json
import os
import re
import shutil
import sys
from typing import IO, Any, cast

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from mlops_platform.errors import PlatformError
from mlops_platform.resources.home import Home
from mlops_platform.resources.source_code import resolve
from mlops_platform.spec import Project

EXIT_FAILED, EXIT_MISTAKE, EXIT_RED = 1, 2, 3
DEFAULT_PROJECT = "mlops_platform.projects.flights.project:PROJECT"
_PLAIN_WIDTH, _WIDEST = 120, 140


def console(file: IO[str] | None = None) -> Console:
    """A console on standard output; what is not a terminal gets plain text of a fixed width."""
    target = file or sys.stdout
    if not target.isatty():
        return Console(file=cast(IO[str], _Trimmed(target)), width=_PLAIN_WIDTH, highlight=False)
    width = shutil.get_terminal_size((_PLAIN_WIDTH, 40)).columns
    return Console(file=target, width=min(width, _WIDEST), highlight=False)


class _Trimmed:
    """A file that gets no blanks at the end of a line: tables pad their last column."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(re.sub(r"[ ]+$", "", text, flags=re.MULTILINE))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def emit(value: Any) -> None:
    """Prints JSON for a program."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def show_error(error: PlatformError) -> None:
    """Prints what was required, what was found and what to do, on standard error."""
    shown = console(sys.stderr)
    if not shown.is_terminal:
        print(error, file=sys.stderr)
        return
    text = Text()
    for name, value in (("Required", error.required), ("Found", error.found), ("Remedy", error.remedy)):
        text.append(f"{name:<9}", style="bold").append(f"{value}\n")
    text.rstrip()
    shown.print(Panel(text, title=type(error).__name__, title_align="left", border_style="red"))


def home() -> Home:
    """The home that ``--home`` and ``--env`` (or ``MLOPS_HOME`` and ``MLOPS_ENV``) name."""
    return Home.from_environment()


def project() -> Project:
    """The project that ``MLOPS_PROJECT`` names as ``package.module:NAME``.

    Raises:
        PlatformError: It names no module, or nothing in it, or something that is no project.
    """
    reference = os.environ.get("MLOPS_PROJECT") or DEFAULT_PROJECT
    module, _, name = reference.partition(":")
    if not module or not name:
        raise _no_project(reference, "no package.module:NAME")
    try:
        found = resolve(reference)
    except (ModuleNotFoundError, AttributeError) as error:
        # Only what the reference itself names; a mistake inside the project's own code keeps its traceback.
        absent = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
        if not absent and error.name != name:
            raise
        raise _no_project(reference, str(error)) from error
    if not isinstance(found, Project):
        raise _no_project(reference, f"a {type(found).__name__}")
    return found


def _no_project(reference: str, found: str) -> PlatformError:
    return PlatformError(
        required="MLOPS_PROJECT to name a project as package.module:NAME",
        found=f"MLOPS_PROJECT={reference!r}: {found}",
        remedy=f"install the package or add its folder to PYTHONPATH; the default is {DEFAULT_PROJECT}",
    )


def plural(count: int, word: str) -> str:
    """``1 file``, ``2 files``, ``1,200 rows``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"
