"""The ``mlops`` command. Nothing heavy is imported until a command needs it: ``mlops --help`` starts at once."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; a user's mistake ends it with three clear lines and exit code 2.

    Args:
        arguments: What follows ``mlops``; None for the process's own arguments.
    """
    from mlops_platform.cli.app import app
    from mlops_platform.cli.context import EXIT_MISTAKE, show_error
    from mlops_platform.errors import PlatformError

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal that cannot show a line-drawing character gets a question mark, not a traceback.
            stream.reconfigure(errors="replace")
    try:
        app(args=None if arguments is None else list(arguments), prog_name="mlops")
    except PlatformError as error:
        show_error(error)
        raise SystemExit(EXIT_MISTAKE) from None
