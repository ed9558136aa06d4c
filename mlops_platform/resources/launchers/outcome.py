"""What a training program's end means, told by exit codes and messages."""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_platform.errors import RESUME_ME, KilledError, OutOfMemoryError, SavedError, TrainingError

_ASKS = (signal.SIGINT, signal.SIGTERM)
_REMEDIES: dict[int, str] = {
    signal.SIGKILL: "free memory or raise its limit, then run it again",
    **dict.fromkeys(_ASKS, "run it again"),
}


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A process of a group that did not end well.

    Attributes:
        rank: Its place in the group.
        code: Exit code; minus the signal's number where one ended it.
        said: Its error: what was required, found and to be done where it was a mistake of the user, else the last
            words of its traceback under ``found``; empty where it left none.
    """

    rank: int
    code: int
    said: Mapping[str, Any]


def require_finished(code: int, messages: Sequence[Mapping[str, Any]], ended: Sequence[Ended] = ()) -> None:
    """Returns if the program left a whole checkpoint.

    Args:
        code: Exit code of the program, or of what started its processes; minus the signal's number.
        messages: Custom messages of rank 0, in order.
        ended: Processes that failed, the first one first, where the launcher knows.

    Raises:
        SavedError: It was asked to stop, and saved.
        TrainingError: It refused the job or failed.
        KilledError: A signal ended it.
    """
    last = messages[-1] if messages else {}
    if code == 0 and last.get("event") == "finished":
        return
    first = ended[0] if ended else Ended(rank=0, code=code, said={})
    who = f"rank {first.rank}: " if len(ended) > 1 or first.rank > 0 else ""
    if last.get("event") == "failed" and (first.rank == 0 or first.said.get("found") == last["found"]):
        raise _refused(last)
    # A rank that saves since another one failed is no reason to go on: that other one is.
    if first.code == RESUME_ME or (last.get("event") == "stopped" and not ended):
        where = f" at step {last['step']}" if last.get("event") == "stopped" else ""
        raise SavedError(
            required="the training program to finish", remedy="run it again: it goes on from there",
            found=f"{who}it was asked to stop, and saved{where} before it did",
        )  # fmt: skip
    if "required" in first.said:
        raise _refused(first.said, who)
    number = _signal(first.code)
    how = f"it was ended by {signal.Signals(number).name}" if number else f"exit code {first.code}"
    told = f", {first.said['found']}" if first.said else ""
    remedy = _REMEDIES.get(number, "read its output above")
    error = KilledError if number else TrainingError
    raise error(required="the training program to finish", found=f"{who}{how}{told}", remedy=remedy)


def _signal(code: int) -> int:
    """The signal that an exit code tells of; 0 for none."""
    # What was asked to stop before it had anything to save says so as shells do.
    return -code if code < 0 else code - 128 if code - 128 in _ASKS else 0


def _refused(said: Mapping[str, Any], who: str = "") -> TrainingError:
    """The error that a process told of before it ended."""
    kind = OutOfMemoryError if said.get("out_of_memory") else TrainingError
    return kind(required=said["required"], found=who + said["found"], remedy=said["remedy"], check=said.get("check"))
