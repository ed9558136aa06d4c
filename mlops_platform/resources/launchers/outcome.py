"""What a training program's end means, told by its exit code and its messages."""

import signal
from collections.abc import Mapping
from typing import Any

from mlops_platform.errors import KilledError, TrainingError


def require_finished(code: int, messages: tuple[Mapping[str, Any], ...]) -> None:
    """Returns if the program left a whole checkpoint.

    Args:
        code: Its exit code; minus the signal's number where one ended it.
        messages: Its custom messages, in order.

    Raises:
        TrainingError: It refused the job or failed.
        KilledError: A signal ended it.
    """
    last = messages[-1] if messages else {}
    if last.get("event") == "failed":
        said = {name: last[name] for name in ("required", "found", "remedy")}
        raise TrainingError(**said, check=last.get("check"))
    if code != 0 or last.get("event") != "finished":
        how = f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        killed = code == -signal.SIGKILL
        remedy = "free memory or raise its limit, then run it again" if killed else "read its output above"
        error = KilledError if code < 0 else TrainingError
        raise error(required="the training program to finish", found=how, remedy=remedy)
