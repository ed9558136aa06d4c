"""Which of several processes this one is, by torchrun's variables, and how any but the first is heard."""

import json
import os
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_platform.errors import OutOfMemoryError, PlatformError

_ERROR_FILE = "TORCHELASTIC_ERROR_FILE"


@dataclass(frozen=True)
class Rank:
    """A process's place among those of one training.

    Attributes:
        number: From 0; only 0 speaks to Dagster and writes the checkpoint's files.
        world: How many there are, on all machines.
        local: Its place on this machine, which is that of its device.
        together: How many there are on this machine.
    """

    number: int = 0
    world: int = 1
    local: int = 0
    together: int = 1

    @classmethod
    def here(cls) -> "Rank":
        """This process's."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        number, world, local, together = (os.environ.get(name) for name in names)
        return cls(int(number or 0), int(world or 1), int(local or 0), int(together or 1))

    def fail(self, error: Exception) -> None:
        """Tells why this process ends: on standard error, and in the file that torchrun names for it, if it does."""
        said: dict[str, Any] = {"found": f"{type(error).__name__}: {error}", "check": getattr(error, "check", None)}
        if isinstance(error, PlatformError):
            said |= {"required": error.required, "found": error.found, "remedy": error.remedy}
            said |= {"out_of_memory": isinstance(error, OutOfMemoryError)}
        text = str(error) if isinstance(error, PlatformError) else traceback.format_exc()
        who = f"rank {self.number} of {self.world}: " if self.world > 1 else ""
        print(f"{who}{text}", file=sys.stderr, flush=True)
        if path := os.environ.get(_ERROR_FILE):
            told = {
                "message": text,
                "said": said,
                "extraInfo": {"py_callstack": "", "timestamp": str(int(time.time()))},
            }
            Path(path).write_text(json.dumps({"message": told}), encoding="utf-8")
