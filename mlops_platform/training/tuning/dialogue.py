"""How the study and the training program talk while trials run: small files in one folder, each put there whole.

The folder lies where the job's files lie, so this works wherever the program can read its job; there is nothing to
connect to, and every process of a training group reads the same answers. The study asks for one trial after the other
(``order``), the program tells each epoch and hears whether to go on (``epoch``, ``answer``) and how the trial ended
(``result``). ``stop`` ends the program at its next look.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_platform.errors import TrainingError
from mlops_platform.manifest import canonical_json

_POLL_SECONDS = 0.02
_STOP = "stop"


@dataclass(frozen=True)
class Dialogue:
    """One program's talk with the study.

    Attributes:
        folder: Existing folder that both can read and write.
    """

    folder: Path

    def say(self, name: str, told: dict[str, Any]) -> None:
        """Puts a message there; who looks sees all of it or nothing."""
        draft = self.folder / f".{name}.{os.getpid()}"
        draft.write_bytes(canonical_json(told))
        draft.rename(self.folder / f"{name}.json")

    def stop(self) -> None:
        """Tells the program to end."""
        self.say(_STOP, {})

    @property
    def stopped(self) -> bool:
        """Whether the program was told to end."""
        return self.heard(_STOP) is not None

    def heard(self, name: str) -> dict[str, Any] | None:
        """A message, if it is there."""
        path = self.folder / f"{name}.json"
        told: dict[str, Any] | None = json.loads(path.read_bytes()) if path.is_file() else None
        return told

    def hear(self, name: str) -> dict[str, Any]:
        """Waits for a message of the study.

        Raises:
            TrainingError: The study said ``stop`` instead.
        """
        found, _ = self.first(name, until=lambda: self.stopped)
        if found is None:
            raise TrainingError(
                required="the study to go on", found="it told its program to stop", remedy="mlops tune MODEL goes on"
            )
        return found

    def first(self, *names: str, until: Callable[[], bool]) -> tuple[dict[str, Any] | None, str]:
        """Waits for whichever of some messages is there first; None where the wait ends without one."""
        while True:
            # Asked before looking: what was said until then is seen.
            over = until()
            for name in names:
                found = self.heard(name)
                if found is not None:
                    return found, name
            if over:
                return None, ""
            time.sleep(_POLL_SECONDS)
